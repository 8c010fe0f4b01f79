"""Formulas over a part's options, written as text in its traits: `len(enc_blk_nums) == len(dec_blk_nums)`.

They are made of names of options, numbers, tuples, their items by number (`heads[2]`), `+ - * / // % **`,
comparisons, `and`, `or`, `not` and the functions below, and evaluated on their syntax tree, so no code of a plug-in
runs.
Tuples are taken item by item, against a number or a tuple of the same length, and a comparison of tuples holds when it
does for all their items: `dim * (1, 2, 4, 8) % heads == 0`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_OF_ITEMS: dict[str, Callable[..., Any]] = {"int": int, "abs": abs, "min": min, "max": max}
_OF_TUPLES: dict[str, Callable[..., Any]] = {"len": len, "sum": sum, "min": min, "max": max, "lcm": math.lcm}
FUNCTIONS = frozenset(_OF_ITEMS) | frozenset(_OF_TUPLES)
"""`min` and `max` of one tuple give one number; of several arguments, and `int` and `abs`, they work item by item.
`lcm`, of a tuple: the least common multiple."""
_NODES = (ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.Not, ast.Compare,
          ast.Subscript, ast.BoolOp, ast.And, ast.Or, ast.Call, *_OPERATORS)  # fmt: skip
_LONGEST, _LARGEST, _HIGHEST = 1000, 2**53, 64
"""Of a text in characters, of a number in a power, of an exponent: no formula may take long."""


class FormulaError(ValueError):
    """A text that is no formula."""


class Unknown(Exception):
    """The formula has no value for these options: one is None or missing, or lengths do not fit."""


def names_in(formula: str) -> tuple[str, ...]:
    """The options that a formula names, in its order. Raises FormulaError."""
    nodes = sorted(
        (node for node in ast.walk(_parsed(formula)) if isinstance(node, ast.Name) and node.id not in FUNCTIONS),
        key=lambda node: (node.lineno, node.col_offset),
    )
    return tuple(dict.fromkeys(node.id for node in nodes))


def value_of(formula: str, options: Mapping[str, Any]) -> Any:
    """The value of a formula. Raises FormulaError for a text that is none, Unknown where it has no value."""
    tree = _parsed(formula)
    try:
        return _value(tree, options)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Unknown(str(error)) from error


@cache
def _parsed(formula: str) -> ast.expr:
    if len(formula) > _LONGEST:
        raise FormulaError(f"a formula has at most {_LONGEST} characters")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise FormulaError(f"{formula!r} is not a formula") from error
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise FormulaError(f"{formula!r} holds more than numbers, options and {', '.join(sorted(FUNCTIONS))}")
        if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
            raise FormulaError(f"{formula!r} holds {node.value!r}, which is no number")
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            raise FormulaError(f"{formula!r} takes an item of a tuple by something else than its number")
        if isinstance(node, ast.Call):
            _check_call(formula, node)
    return tree.body


def _check_call(formula: str, node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords or not node.args:
        raise FormulaError(f"{formula!r} calls something else than {', '.join(sorted(FUNCTIONS))}")


def _value(node: ast.expr, options: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return _option(node.id, options)
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, options) for item in node.elts)
    if isinstance(node, ast.Subscript):
        return _item(_value(node.value, options), _value(node.slice, options))
    if isinstance(node, ast.BoolOp):
        ends = any if isinstance(node.op, ast.Or) else all
        return ends(_value(item, options) for item in node.values)
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, options)
        return not value if isinstance(node.op, ast.Not) else _each(operator.neg, value)
    if isinstance(node, ast.BinOp):
        return _each(_safe(node.op), _value(node.left, options), _value(node.right, options))
    if isinstance(node, ast.Compare):
        return _compared(node, options)
    return _called(node, options)


def _option(name: str, options: Mapping[str, Any]) -> Any:
    value = options.get(name)
    if value is None or isinstance(value, str | dict):
        raise Unknown(f"{name} is no number")
    return tuple(value) if isinstance(value, list) else value


def _item(values: Any, place: Any) -> Any:
    try:
        return values[place]
    except (IndexError, TypeError) as error:
        raise Unknown(f"there is no item {place}") from error


def _compared(node: ast.Compare, options: Mapping[str, Any]) -> bool:
    values = [_value(item, options) for item in (node.left, *node.comparators)]
    for compare, one, other in zip(node.ops, values, values[1:], strict=False):
        found = _each(_OPERATORS[type(compare)], one, other)
        if not (all(found) if isinstance(found, tuple) else found):
            return False
    return True


def _called(node: ast.expr, options: Mapping[str, Any]) -> Any:
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    name, values = node.func.id, [_value(item, options) for item in node.args]
    if name in _OF_TUPLES and len(values) == 1:
        return math.lcm(*values[0]) if name == "lcm" else _OF_TUPLES[name](values[0])
    if name not in _OF_ITEMS:
        raise Unknown(f"{name} takes one tuple")
    return _each(_OF_ITEMS[name], *values)


def _each(work: Callable[..., Any], *values: Any) -> Any:
    """`work` of numbers, or of the items of tuples of one length; a number stands for a tuple of it."""
    lengths = {len(value) for value in values if isinstance(value, tuple)}
    if not lengths:
        return work(*values)
    if len(lengths) > 1:
        raise Unknown("lengths differ")
    (length,) = lengths
    rows = [value if isinstance(value, tuple) else (value,) * length for value in values]
    return tuple(_each(work, *items) for items in zip(*rows, strict=True))


def _safe(kind: ast.operator) -> Callable[..., Any]:
    return _power if isinstance(kind, ast.Pow) else _OPERATORS[type(kind)]


def _power(base: Any, exponent: Any) -> Any:
    if abs(base) > _LARGEST or abs(exponent) > _HIGHEST:
        raise Unknown("the power is too high")
    return base**exponent
