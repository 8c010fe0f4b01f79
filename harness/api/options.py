"""An option's annotation: what it may be made of, and values checked against it, without importing the part."""

from __future__ import annotations

import ast
import collections.abc
import json
import typing
from functools import cache
from typing import Any, Literal

import annotated_types
import pydantic
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaError

from harness.api import ranges, reference
from harness.core.errors import did_you_mean
from harness.core.source import NOT_LITERAL, REQUIRED, Option
from harness.core.wording import said_together, shown

Reference = Literal["PriorRef", "CellRef"]

_NAMES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, str, bool, list, tuple, dict, object)},
    **{name: getattr(typing, name) for name in ("Any", "Literal", "Annotated", "Optional", "Union")},
    **{name: getattr(collections.abc, name) for name in ("Sequence", "Mapping")},
    **{name: getattr(annotated_types, name) for name in ("Ge", "Gt", "Le", "Lt", "MultipleOf", "MinLen", "MaxLen")},
    **{f"{sign}{kind}": getattr(pydantic, f"{sign}{kind}") for sign in ("Positive", "NonNegative", "Negative")
       for kind in ("Int", "Float")},
    **{name: getattr(reference, name) for name in ("Placement", "Regime", "FeaturePolicy", "Augment",
                                                        "LocalFile")},
    **{name: getattr(ranges, name) for name in ("Channels", "Count", "Blocks", "Pixels", "Kernel", "Steps", "Chance",
                                                "Share", "Factor", "Weight", "Rate")},
    "Field": pydantic.Field,
}  # fmt: skip
"""What an option's annotation may be made of."""

_SHAPES = (ast.Name, ast.Subscript, ast.Tuple, ast.List, ast.BinOp, ast.BitOr, ast.Constant, ast.Load, ast.Call,
           ast.keyword, ast.UnaryOp, ast.USub)  # fmt: skip


_NO_TYPE = (*NOT_LITERAL, RecursionError, AssertionError, ArithmeticError, AttributeError, LookupError, SchemaError,
            pydantic.errors.PydanticUserError)  # fmt: skip
"""What Python and pydantic raise for an expression that is no type."""

RESERVED = frozenset({"name", "label"})
"""Keys of every part in a suite."""
RESERVED_OF = {"backbone": RESERVED | {"weights"}, "loss": RESERVED | {"weight", "refined_weight"}}
"""Keys of the kinds that have further ones."""


class AnnotationError(ValueError):
    """An annotation that a suite cannot be checked against."""


def refers_to(option: Option) -> Reference | None:
    """Whether the option holds another prior or a cell, instead of a value. Raises AnnotationError."""
    names = _names(option.annotation)
    if "PriorRef" in names:
        return "PriorRef"
    return "CellRef" if "CellRef" in names else None


def holds_file(option: Option) -> bool:
    """Whether the option holds the path of a local file. Raises AnnotationError."""
    return "LocalFile" in _names(option.annotation)


def names_meant_here(option: Option) -> set[str]:
    """The names in the option's annotation whose meaning is this module's, whatever the file says that holds it."""
    try:
        return _names(option.annotation) & _NAMES.keys()
    except AnnotationError:
        return set()


def _names(annotation: str) -> set[str]:
    return {node.id for node in ast.walk(_expression(annotation)) if isinstance(node, ast.Name)}


@cache
def _expression(annotation: str) -> ast.expr:
    try:
        tree = ast.parse(annotation, mode="eval").body
        if isinstance(tree, ast.Constant) and isinstance(tree.value, str):  # written in quotes
            tree = ast.parse(tree.value.strip(), mode="eval").body
    except (*NOT_LITERAL, RecursionError) as error:
        raise AnnotationError(f"{shown(annotation)} is not a type") from error
    return tree


@cache
def adapter_of(annotation: str) -> TypeAdapter[Any]:
    """Validator of an annotation's text. Raises AnnotationError for what is not made of `_NAMES`.

    The text may come from a plug-in that nobody has run yet, so only names, subscripts, unions, literals and calls of
    those names are evaluated.
    """
    tree = _expression(annotation)
    for node in ast.walk(tree):
        if not isinstance(node, _SHAPES) or (isinstance(node, ast.Call) and not isinstance(node.func, ast.Name)):
            raise AnnotationError(f"{shown(annotation)} is more than a type")
        if isinstance(node, ast.Name) and node.id not in _NAMES:
            raise AnnotationError(f"{shown(annotation)} is not known: {did_you_mean(node.id, _NAMES) or node.id}")
    try:
        code = compile(ast.Expression(tree), "<annotation>", "eval")
        return TypeAdapter(eval(code, {"__builtins__": {}}, _NAMES))
    except _NO_TYPE as error:
        raise AnnotationError(f"{shown(annotation)} is not a type that values can be checked against") from error


def checked(annotation: str, value: Any, *, infinite: bool = True) -> Any:
    """The value as JSON has it, equal for equal meaning (25 and 25.0 for a float).

    It is checked as JSON, in which a list may stand for a tuple, but text never for a number.
    Raises AnnotationError, pydantic's ValidationError, and ValueError or TypeError for what JSON does not have;
    infinite numbers are among that unless `infinite`.
    """
    adapter = adapter_of(annotation)
    found = adapter.validate_json(json.dumps(value, allow_nan=infinite), strict=True)
    return adapter.dump_python(found, mode="json")


def option_mistake(kind: str, option: Option) -> tuple[str, str] | None:
    """(what is wrong, what to try) of an option that suites could not set: its name, annotation or default."""
    if option.name in RESERVED_OF.get(kind, RESERVED):
        return f"an option of a {kind} cannot be called {option.name!r}: suites mean another thing by it", "rename it"
    try:
        if refers_to(option) is None:
            adapter_of(option.annotation)
            if option.default is not REQUIRED:
                checked(option.annotation, option.default, infinite=False)
    except AnnotationError as error:
        return f"the annotation of the option {option.name!r}: {error}", "see harness.api.options"
    except ValidationError as failure:
        what, hint = said_together(failure.errors(include_url=False))
        return f"the default of the option {option.name!r}: {what}", hint
    except (TypeError, ValueError):
        what = f"the default of the option {option.name!r} is nothing that a suite could give: {shown(option.default)}"
        return what, "numbers, texts, true, false, None, tuples of them"
    return None
