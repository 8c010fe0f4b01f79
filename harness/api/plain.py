"""Whether Python sees in a file what a reader of its source sees: the class and its traits, bound once and plainly."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from harness.core.bindings import Bindings, bound, bound_again, bound_in_module, plain
from harness.core.source import CONSTRUCTORS, SourceError, called

_READ = frozenset({"traits", *CONSTRUCTORS})


class Plainness:
    """Finds what in a file may make Python's view of a part differ from its source.

    `classes`: the classes that may be called in traits, by name; each must be imported from its own module.
    """

    def __init__(self, module: ast.Module, classes: Mapping[str, type]) -> None:
        self._module, self._classes = module, classes
        self._names = bound_in_module(module)

    def mistakes(self, cls: ast.ClassDef) -> Iterator[SourceError]:
        """Everything about a part's class that cannot be read."""
        body = bound(cls.body)
        yield from bound_again(self._names, cls.name, cls)
        yield from _made_otherwise(cls)
        yield from self._constructors(cls, body)
        yield from self._set_later(cls)
        statement = plain(cls.body, "traits")
        yield from bound_again(body, "traits", statement)
        if statement is not None and statement.value is not None:
            yield from self._values(statement.value, body)

    def _constructors(self, cls: ast.ClassDef, body: Bindings) -> Iterator[SourceError]:
        found = [node for name in CONSTRUCTORS for node in body.get(name, ())]
        for node in found:
            if not isinstance(node, ast.FunctionDef) or node not in cls.body:
                what = f"the constructor of {cls.name} is not a plain `def`, so its options cannot be read"
                yield SourceError(node, what, "def __init__(self, …), outside of if, for and try")
            for decorator in getattr(node, "decorator_list", ()):
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                if not self._origin(function).startswith("harness."):  # ours keep the options as they are written
                    what = f"the constructor of {cls.name} is decorated, so its options cannot be read"
                    yield SourceError(decorator, what, "remove the decorator")
        for node in found[1:]:
            yield SourceError(node, f"{cls.name} has two constructors", "keep one, with every option in it")

    def _set_later(self, cls: ast.ClassDef) -> Iterator[SourceError]:
        """`P.traits = …`, `setattr(P, …)` anywhere, and `self.traits = …` inside of the class."""
        inside = {id(node) for node in ast.walk(cls)}
        for node in ast.walk(self._module):
            if _sets(node, cls.name) or (id(node) in inside and _is_set(node) == "traits"):
                what = f"this changes {cls.name} after it is made, which cannot be seen without running the file"
                yield SourceError(node, what, "write it in the body of the class")

    def _values(self, value: ast.expr, body: Bindings) -> Iterator[SourceError]:
        """The constants and classes that the traits are made of."""
        left, seen = [value], set()
        while left:
            expression = left.pop()
            calls = [node for node in ast.walk(expression) if isinstance(node, ast.Call)]
            functions = {id(node) for call in calls for node in ast.walk(call.func)}
            for call in calls:
                yield from self._call(call, body)
            for node in ast.walk(expression):
                if isinstance(node, ast.Name) and id(node) not in functions and node.id not in seen:
                    seen.add(node.id)
                    constant = plain(self._module.body, node.id)
                    yield from bound_again(body, node.id, None)
                    yield from bound_again(self._names, node.id, constant)
                    left += [constant.value] if constant is not None and constant.value is not None else []

    def _call(self, call: ast.Call, body: Bindings) -> Iterator[SourceError]:
        name = called(call)
        cls = self._classes.get(name)
        if cls is None:  # the reader of the traits says so
            return
        root = ast.unparse(call.func).partition(".")[0]
        yield from bound_again(body, root, None)
        if self._origin(call.func) != f"{cls.__module__}.{name}":
            what = f"{name} is not, or not only, the {name} of {cls.__module__}"
            yield SourceError(call, what, f"from {cls.__module__} import {name} (aliases are not followed)")

    def _origin(self, function: ast.expr) -> str:
        """The full dotted name of what is called; empty when it is not imported plainly."""
        dotted = ast.unparse(function)
        bindings = self._names.get(dotted.partition(".")[0], ())
        if bindings and all(isinstance(node, ast.Import) for node in bindings):
            aliases = [alias for node in bindings if isinstance(node, ast.Import) for alias in node.names]
            whole = any(alias.name == dotted.rpartition(".")[0] for alias in aliases if alias.asname is None)
            return dotted if whole else ""
        if len(bindings) == 1 and isinstance(node := bindings[0], ast.ImportFrom) and node in self._module.body:
            plainly = {alias.name for alias in node.names if alias.asname is None}
            return f"{node.module}.{dotted}" if dotted.partition(".")[0] in plainly and not node.level else ""
        return ""


def _made_otherwise(cls: ast.ClassDef) -> Iterator[SourceError]:
    for decorator in cls.decorator_list:
        what = "a part's class is not decorated: what a decorator makes cannot be read"
        yield SourceError(decorator, what, "remove the decorator")
    for keyword in cls.keywords:
        what = "a part's class has no metaclass and no keywords: what they make cannot be read"
        yield SourceError(keyword.value, what, "remove it")


def _is_set(node: ast.AST) -> str:
    """The attribute that a node sets or deletes, if it does."""
    return node.attr if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) else ""


def _sets(node: ast.AST, name: str) -> bool:
    """Whether a node sets what is read of the class of that name."""
    if isinstance(node, ast.Call) and node.args:
        return ast.unparse(node.func) in ("setattr", "delattr") and ast.unparse(node.args[0]) == name
    return isinstance(node, ast.Attribute) and _is_set(node) in _READ and ast.unparse(node.value) == name
