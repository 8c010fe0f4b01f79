"""Every place where Python source binds a name, by `ast`.

A reader that looks for one assignment sees what Python sees only when the name is bound nowhere else.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.core.source import SourceError

Bindings = Mapping[str, Sequence[ast.AST]]
"""Name → the nodes that bind, delete or change it, by line. What a `*` import binds stands under "*"."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_CHANGING = frozenset({"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update",
                       "setdefault", "popitem", "add", "discard"})  # fmt: skip
"""Methods that change a list, dict or set in place."""


def bound(body: Sequence[ast.stmt]) -> Bindings:
    """What the statements bind in their own scope, in blocks and expressions too."""
    return _gathered((name, node) for node in _scope(body) for name in _bound_by(node))


def bound_in_module(module: ast.Module) -> Bindings:
    """What a module binds, and what its functions and statements change in place."""
    own = [(name, node) for node in _scope(module.body) for name in _bound_by(node)]
    changed = [(name, node) for node in ast.walk(module) for name in _changed_by(node)]
    return _gathered([*own, *changed])


def plain(body: Sequence[ast.stmt], name: str) -> ast.Assign | ast.AnnAssign | None:
    """The first statement of the body itself that is `name = value` and nothing more."""
    for node in body:
        target = _only_target(node)
        if isinstance(target, ast.Name) and target.id == name:
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            return node
    return None


def bound_again(bindings: Bindings, name: str, expected: ast.AST | None) -> Iterator[SourceError]:
    """A mistake for every place that binds the name, except the expected statement."""
    kept = expected if not isinstance(expected, ast.stmt) else _only_target(expected) or expected
    for node in (*bindings.get(name, ()), *bindings.get("*", ())):
        if node is not kept:
            what = f"{name} is bound or changed here, so what it is cannot be known without running the file"
            yield SourceError(node, what, f"bind {name} once, in a statement of its own outside of if, for and try")


def _only_target(node: ast.stmt) -> ast.expr | None:
    if isinstance(node, ast.Assign):
        return node.targets[0] if len(node.targets) == 1 else None
    return node.target if isinstance(node, ast.AnnAssign) and node.value is not None else None


def _gathered(pairs: Iterable[tuple[str, ast.AST]]) -> Bindings:
    found: dict[str, list[ast.AST]] = defaultdict(list)
    for name, node in sorted(pairs, key=lambda pair: (getattr(pair[1], "lineno", 0), pair[0])):
        found[name].append(node)
    return dict(found)


def _scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes that run in the scope of the body."""
    left = list(body)
    while left:
        node = left.pop()
        yield node
        left.extend(_inside(node))


def _inside(node: ast.AST) -> Iterable[ast.AST]:
    """The children of a node that run in its own scope."""
    if isinstance(node, _FUNCTIONS):
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return defaults if isinstance(node, ast.Lambda) else [*defaults, *node.decorator_list]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, _COMPREHENSIONS):
        return [item for item in ast.walk(node) if isinstance(item, ast.NamedExpr)]
    if isinstance(node, ast.AnnAssign) and node.value is None:  # says a type and binds nothing
        return []
    return ast.iter_child_nodes(node)


def _bound_by(node: ast.AST) -> list[str]:
    """The names that one node binds."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name] if node.name else []
    return [node.rest] if isinstance(node, ast.MatchMapping) and node.rest else []


def _changed_by(node: ast.AST) -> list[str]:
    """The names whose values one node changes in place, or binds from inside a function."""
    if isinstance(node, ast.Global):
        return node.names
    changed: ast.AST | None = None
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        changed = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
        changed = node.func.value
    return [changed.id] if isinstance(changed, ast.Name) else []
