"""Reading Python source without running it: options, literals and docstrings of a class, by `ast`.

A suite must be checked, and its cells named, on a laptop without PyTorch. So everything that planning needs to know
about a part is written in its source as literals.
This file knows Python; harness.api.declaration knows what parts declare.

The module half of a target "module:Class" is a dotted name, or the path of a `.py` file (a plug-in).
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

REQUIRED: Any = object()
"""Stands for the default of an option that the suite must give."""

CONSTRUCTORS = ("__init__", "__new__")

NOT_LITERAL = (ValueError, TypeError, SyntaxError, MemoryError)
"""What `ast.literal_eval` raises for something that is no literal. Too deep a nesting is for whoever reads the file."""

_CONTAINERS: dict[type[ast.expr], Callable[[Iterable[Any]], Any]] = {ast.Tuple: tuple, ast.List: list, ast.Set: set}


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter: its annotation as text, its default (or REQUIRED)."""

    name: str
    annotation: str
    default: Any = REQUIRED


class SourceError(ValueError):
    """A place in a source file that cannot be read as a declaration; `line` and `column` say where."""

    def __init__(self, node: ast.AST, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint
        self.line: int = getattr(node, "lineno", 1)
        self.column: int = getattr(node, "col_offset", 0) + 1


def is_file(module: str) -> bool:
    """Whether a target's module half is a plug-in file and not a dotted name."""
    return module.endswith(".py")


def source_path(module: str) -> str:
    """The file of a module. Raises ModuleNotFoundError when there is none."""
    if is_file(module):
        return module
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module!r}", name=module)
    return spec.origin


@cache
def parse_module(module: str) -> ast.Module:
    """Syntax tree of a module or plug-in file. Raises ModuleNotFoundError, OSError, SyntaxError or ValueError.

    A plug-in file is compiled as well: Python refuses some text only then.
    """
    path = source_path(module)
    content = Path(path).read_bytes()  # in bytes, Python finds the encoding by itself
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content, filename=path)
            if is_file(module):
                compile(tree, path, "exec", dont_inherit=True)
                _check_constants(tree, path)
    except (RecursionError, MemoryError) as error:
        raise SyntaxError("the file is nested too deeply", (path, 1, 1, None)) from error
    return tree


def code_of(file: str) -> CodeType:
    """The code of a plug-in file or a helper: of the tree that `parse_module` gave first, whatever the file holds now.

    So the code that runs and the id that is made of its tree are of one text. Raises as `parse_module`.
    """
    code: CodeType = compile(parse_module(file), file, "exec", dont_inherit=True)
    return code


def _check_constants(tree: ast.Module, path: str) -> None:
    """Raises SyntaxError for texts and numbers that Python can hold and no file or terminal can show."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            try:
                str(node.value).encode()
            except ValueError as error:
                text = isinstance(error, UnicodeEncodeError)
                what = "this text holds half of a surrogate pair" if text else "this number has too many digits"
                raise SyntaxError(what, (path, node.lineno, node.col_offset + 1, None)) from error


def definitions(module: ast.Module) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    """The classes and functions of a module by name."""
    return {node.name: node for node in module.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def place_of(target: str) -> tuple[str, int]:
    """(file, line) where "module:Class" is defined."""
    module, _, name = target.partition(":")
    return source_path(module), definitions(parse_module(module))[name].lineno


def assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.Assign | ast.AnnAssign]]:
    """(name, statement) of every assignment to a plain name, and of every annotated name."""
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node


def constructor(cls: ast.ClassDef) -> ast.FunctionDef | None:
    """The class's own `__init__` or `__new__`."""
    return next((item for item in cls.body if isinstance(item, ast.FunctionDef) and item.name in CONSTRUCTORS), None)


def options(function: ast.FunctionDef) -> dict[str, Option]:
    """The keyword-only parameters by name. Raises SourceError for a default that is not a literal, `*args`, `**`."""
    arguments = function.args
    for taken, stars in ((arguments.vararg, "*"), (arguments.kwarg, "**")):
        if taken is not None:
            raise SourceError(taken, f"options are named one by one, not taken as {stars}", "name them after a bare *")
    found = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.annotation is None:
            raise SourceError(argument, f"the option {argument.arg!r} has no annotation", f"{argument.arg}: int = …")
        value = REQUIRED if default is None else _default(argument.arg, default)
        found[argument.arg] = Option(argument.arg, ast.unparse(argument.annotation), value)
    return found


def _default(name: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except NOT_LITERAL as error:
        what = f"the default of the option {name!r} is not a literal: {ast.unparse(node)}"
        raise SourceError(node, what, "numbers, texts, None, tuples of them") from error


class Literals:
    """Evaluates literals: constants, containers of them, the module's own constants, and calls of known classes.

    `classes`: what may be called, by name; each is given the call's arguments and may raise ValueError or TypeError.
    """

    def __init__(self, module: ast.Module, classes: Mapping[str, Callable[..., Any]]) -> None:
        self._constants = {name: node.value for name, node in assignments(module.body) if node.value is not None}
        self._classes = classes

    def value(self, node: ast.expr, _depth: int = 0) -> Any:
        """The value of the expression. Raises SourceError that points at the part that is not a literal."""
        if _depth > 40:
            raise SourceError(node, "this is nested too deeply")

        def inner(item: ast.expr) -> Any:
            return self.value(item, _depth + 1)

        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            return _container(node, inner)
        if isinstance(node, ast.Name) and node.id in self._constants:
            return inner(self._constants[node.id])
        if isinstance(node, ast.Call) and not any(isinstance(item, ast.Starred) for item in node.args):
            return self._call(node, inner)
        try:
            return ast.literal_eval(node)
        except NOT_LITERAL as error:
            what = f"{ast.unparse(node)} is not a literal: it cannot be known without running the file"
            raise SourceError(node, what, "write the value itself, or a constant of this file") from error

    def _call(self, node: ast.Call, inner: Callable[[ast.expr], Any]) -> Any:
        name = called(node)
        if name not in self._classes:
            raise SourceError(node, f"{name} cannot be called here", f"one of {', '.join(sorted(self._classes))}")
        arguments = [inner(item) for item in node.args]
        keywords = {item.arg: inner(item.value) for item in node.keywords if item.arg is not None}
        try:
            return self._classes[name](*arguments, **keywords)
        except (TypeError, ValueError) as error:
            raise SourceError(node, f"{name}: {error}") from error


def _container(node: ast.Tuple | ast.List | ast.Set | ast.Dict, inner: Callable[[ast.expr], Any]) -> Any:
    try:
        if not isinstance(node, ast.Dict):
            return _CONTAINERS[type(node)](map(inner, node.elts))
        pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
        if len(pairs) < len(node.keys):
            raise SourceError(node, "what is taken from ** cannot be read", "write the items one by one")
        return {inner(key): inner(value) for key, value in pairs}
    except TypeError as error:
        raise SourceError(node, "a list, dict or set cannot be a key or in a set", "write a tuple") from error


def called(node: ast.Call) -> str:
    """The name of what is called, without the module before it."""
    return ast.unparse(node.func).rpartition(".")[2]
