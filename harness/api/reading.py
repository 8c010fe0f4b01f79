"""Reads what one class declares from its source, and gathers everything that is wrong with it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache, partial
from inspect import signature
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from harness.api.backbone import BackboneTraits
from harness.api.kinds import ONLY_IN_TRAITS, VALUES
from harness.api.options import AnnotationError, holds_file, names_meant_here, option_mistake
from harness.api.plain import Plainness
from harness.api.task import TaskTraits
from harness.api.traits import Above, Conflict, FromOption, OwnFile, Published, Rule, Traits, When
from harness.core.errors import Problem, did_you_mean
from harness.core.source import Literals, Option, SourceError, assignments, called, constructor, definitions, options
from harness.core.wording import said, shown


class Reader:
    """Reads a class as a part of a kind, whose traits are of the class `traits`; gathers the mistakes.

    A plug-in is read more strictly, since no test holds it to what Python sees.
    """

    def __init__(self, kind: str, traits: type[Traits], file: str, module: ast.Module, plugin: bool) -> None:
        self.kind, self.traits, self.file, self.module, self.plugin = kind, traits, file, module, plugin
        self.problems: list[Problem] = []
        self.literals = Literals(module, {cls.__name__: partial(_checked, cls) for cls in VALUES})

    def read(self, attribute: str) -> tuple[Mapping[str, Option], Traits, str] | None:
        """(options, traits, summary). Not to be used when `problems` holds anything."""
        defined = definitions(self.module)
        node = defined.get(attribute)
        if node is None:
            what = f"this file defines no class {attribute!r}"
            self._report(SourceError(self.module, what, did_you_mean(attribute, defined)), attribute)
            return None
        if isinstance(node, ast.FunctionDef):
            hint = f"class {attribute}: with traits = {self.traits.__name__}(…)"
            self._report(SourceError(node, f"a {self.kind} is a class, and {attribute} is a function", hint), attribute)
            return None
        if self.plugin:
            classes = {cls.__name__: cls for cls in (self.traits, *VALUES)}
            for error in Plainness(self.module, classes).mistakes(node):
                self._report(error, attribute)
        given = self._options(node)
        traits = self._traits(node)
        self._check_beside(node)
        if traits is not None and given is not None:
            self._check_conditions(node, traits, given)
        if traits is None or given is None:
            return None
        return given, traits, (ast.get_docstring(node) or "").partition("\n")[0]

    def _report(self, error: SourceError, path: str) -> None:
        self.problems.append(Problem(self.file, error.line, error.column, path, error.what, error.hint))

    def _options(self, cls: ast.ClassDef) -> Mapping[str, Option] | None:
        init = constructor(cls)
        try:
            if init is None and cls.bases and self.kind != "task":
                bases = ", ".join(map(ast.unparse, cls.bases))
                what = f"{cls.name} has no constructor of its own, so its options would be those of {bases}, unseen"
                raise SourceError(cls, what, "write `def __init__(self, …)` with every option in it")
            if init is not None and self.kind == "task":
                what = "a task is its traits alone: it has no constructor"
                raise SourceError(init, what, "name the degradation's options in TaskTraits(options=…)")
            given = options(init) if init else {}
        except SourceError as error:
            self._report(error, cls.name)
            return None
        if init is not None and self.plugin:
            self._check_options(cls.name, init, given)
        return given

    def _check_options(self, path: str, init: ast.FunctionDef, given: Mapping[str, Option]) -> None:
        """Refuses options that a suite could not set."""
        own = {name for name, _ in assignments(self.module.body)}
        for argument in init.args.kwonlyargs:
            redefined = own & names_meant_here(given[argument.arg])
            if redefined:
                what = f"{min(redefined)} in the annotation of {argument.arg!r} has another meaning in this file"
                self._report(SourceError(argument, what, f"rename it, or write out what {argument.arg!r} may be"), path)
                continue
            mistake = option_mistake(self.kind, given[argument.arg])
            if mistake is not None:
                self._report(SourceError(argument, *mistake), path)

    def _traits(self, cls: ast.ClassDef) -> Traits | None:
        found = [node for name, node in assignments(cls.body) if name == "traits" and node.value is not None]
        wanted = self.traits.__name__
        if not found:
            self._report(
                SourceError(cls, f"{cls.name} declares no traits of its own", f"traits = {wanted}()"), cls.name
            )
            return None
        call = found[-1].value
        assert call is not None
        try:
            if not isinstance(call, ast.Call) or called(call) != wanted:
                hint = f"traits = {wanted}(…) of {self.traits.__module__}, under its own name"
                raise SourceError(call, f"a {self.kind} declares {wanted}, not {ast.unparse(call)[:60]}", hint)
            if call.args:
                raise SourceError(call.args[0], f"{wanted} takes keywords", f"{wanted}(version=1, …)")
        except SourceError as error:
            self._report(error, cls.name)
            return None
        return self._checked_traits(cls, call)

    def _checked_traits(self, cls: ast.ClassDef, call: ast.Call) -> Traits | None:
        known = [item.name for item in fields(self.traits)]
        before, values, places = len(self.problems), {}, {}
        for keyword in call.keywords:
            path = f"{cls.name}.traits.{keyword.arg}"
            try:
                if keyword.arg is None:
                    raise SourceError(keyword.value, "traits are named one by one, not taken from **")
                if keyword.arg not in known:
                    what = f"{self.traits.__name__} has no {keyword.arg!r}"
                    raise SourceError(keyword, what, did_you_mean(keyword.arg, known))
                values[keyword.arg], places[keyword.arg] = self.literals.value(keyword.value), keyword.value
            except SourceError as error:
                self._report(error, path)
        for name, what, hint in _mistyped(self.traits, values):
            self._report(SourceError(places[name], what, hint), f"{cls.name}.traits.{name}")
        if len(self.problems) > before:
            return None
        try:
            return self.traits(**values)
        except (TypeError, ValueError) as error:
            self._report(SourceError(call, _cleaned(error)), f"{cls.name}.traits")
            return None

    def _check_beside(self, cls: ast.ClassDef) -> None:
        """Refuses what looks like a declaration and would not be read."""
        beside = [
            (name, node) for name, node in assignments(cls.body) if name in ONLY_IN_TRAITS and node.value is not None
        ]
        beside += [(name, node) for name, node in assignments(self.module.body) if name == "VERSION"]
        for name, node in beside:
            meant = {"VERSION": "version"}.get(name, name)
            own = meant in {item.name for item in fields(self.traits)}
            hint = f"traits = {self.traits.__name__}({meant}=…)" if own else "remove it"
            if name == "name":
                hint = "remove it: a part's name is the one in its catalogue line"
            self._report(SourceError(node, f"{name} is not read here: a part says it in its traits", hint), cls.name)
        for item in cls.body:
            if isinstance(item, ast.FunctionDef) and item.name == "weights" and item.decorator_list:
                hint = f'traits = {self.traits.__name__}(weights=(Published("…"), OwnFile("…")))'
                self._report(
                    SourceError(item, "weights is not read here: a part says it in its traits", hint), cls.name
                )

    def _check_conditions(self, cls: ast.ClassDef, traits: Traits, given: Mapping[str, Option]) -> None:
        """Refuses conditions on options that the part does not have, and files in options that hold no path."""
        known = traits.options if isinstance(traits, TaskTraits) else tuple(given)
        path = f"{cls.name}.traits"
        shared = traits.from_task if isinstance(traits, BackboneTraits) else ()
        for option in (*_named_options(traits), *shared):
            if option not in known:
                what = f"the traits speak of the option {option!r}, which {cls.name} does not have"
                self._report(SourceError(cls, what, did_you_mean(option, known)), path)
        for source in traits.weights:
            if isinstance(source, OwnFile) and source.option in given and not _is_file(given[source.option]):
                what = f"the traits call the option {source.option!r} a file, and its annotation does not"
                self._report(SourceError(cls, what, f"{source.option}: LocalFile | None = None"), path)


def _is_file(option: Option) -> bool:
    try:
        return holds_file(option)
    except AnnotationError:  # has been reported
        return True


def _named_options(value: Any) -> Iterator[str]:
    """The options that conditions inside traits name."""
    if isinstance(value, When | FromOption | OwnFile):
        yield value.option
        if isinstance(value, Above):
            yield value.value.option
    elif isinstance(value, tuple):
        for item in value:
            yield from _named_options(item)
    elif isinstance(value, Traits | Conflict | Rule | Published):
        if isinstance(value, Conflict | Rule):
            yield from value.options
        for item in fields(value):
            yield from _named_options(getattr(value, item.name))


@cache
def _adapters(cls: type) -> dict[str, TypeAdapter[Any]]:
    """The type checker of every field of a dataclass."""
    hints = get_type_hints(cls)
    return {item.name: TypeAdapter(hints[item.name]) for item in fields(cls)}


def _mistyped(cls: type, values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(field, what is wrong, what to try) for every value that is not of its field's type."""
    for name, value in values.items():
        try:
            _adapters(cls)[name].validate_python(value, strict=True)
        except ValidationError as failure:
            whats = [_said_in_python(error) for error in failure.errors(include_url=False)]
            yield name, " or ".join(dict.fromkeys(what for what, _ in whats)), next((h for _, h in whats if h), "")


def _said_in_python(error: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what to try, in the words of Python where a suite has other ones."""
    if error["type"] == "tuple_type":
        return f"expected a tuple, not {shown(error['input'])}", "write (a, b), or (a,) for one"
    return said(error)


def _checked(cls: type, *arguments: Any, **keywords: Any) -> Any:
    """An instance whose fields have the types of their annotations. Raises ValueError or TypeError."""
    given = signature(cls).bind(*arguments, **keywords)
    for name, what, _ in _mistyped(cls, given.arguments):
        raise ValueError(f"{name}: {what}")
    return cls(*given.args, **given.kwargs)


def _cleaned(error: Exception) -> str:
    """The message of a constructor's error, without the words that only Python programmers know."""
    return str(error).removeprefix("__init__() ").replace("required keyword-only argument", "required argument")
