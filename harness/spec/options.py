"""A part's options: filled with defaults and checked against their annotations, without importing the part."""

from __future__ import annotations

import ast
import collections.abc
import json
import typing
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import annotated_types
import pydantic
from pydantic import TypeAdapter, ValidationError

from harness.api import reference
from harness.core.errors import did_you_mean
from harness.core.source import REQUIRED, Option
from harness.core.wording import Mistake, said_together

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
    "Field": pydantic.Field,
}  # fmt: skip
"""What an option's annotation may be made of."""

_SHAPES = (ast.Name, ast.Subscript, ast.Tuple, ast.List, ast.BinOp, ast.BitOr, ast.Constant, ast.Load, ast.Call,
           ast.keyword, ast.UnaryOp, ast.USub)  # fmt: skip


@dataclass
class Filled:
    """All options of a part. Those that refer to other parts stand apart, as the file gives them."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """The paths that the file gives, as it gives them."""
    references: dict[str, tuple[Reference, Any]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def fill(options: collections.abc.Mapping[str, Option], given: collections.abc.Mapping[str, Any], title: str) -> Filled:
    """Checks what a suite gives for a part against the part's options, and adds the defaults.

    Values come out as JSON has them, equal for equal meaning (25 and 25.0 for a float). `title` names the part in
    messages, e.g. "backbone nafnet".
    """
    filled = Filled()
    for name in given.keys() - options.keys():
        hint = did_you_mean(name, options) or ("" if options else f"{title} has no options")
        filled.mistakes.append(Mistake((name,), f"{title} has no option {name!r}", hint, unknown=True))
    for option in options.values():
        refers = refers_to(option)
        value = given.get(option.name, option.default)
        if value is REQUIRED:
            filled.mistakes.append(Mistake((), f"{title} needs the option {option.name!r}", _example(option)))
        elif refers is not None:
            if value is not None:
                filled.references[option.name] = refers, value
        elif holds_file(option):
            _check(option, value, filled)
            path = filled.values.pop(option.name, None)
            if path is not None:
                filled.files[option.name] = path
        else:
            _check(option, value, filled)
    return filled


def _example(option: Option) -> str:
    examples = {"PriorRef": f"{option.name}: nss", "CellRef": f"{option.name}: {{task: ..., backbone: ...}}"}
    return "add " + examples.get(refers_to(option) or "", f"{option.name}: <{option.annotation}>")


def _check(option: Option, value: Any, filled: Filled) -> None:
    try:
        adapter = adapter_of(option.annotation)
        filled.values[option.name] = adapter.dump_python(_strictly(adapter, value), mode="json")
    except AnnotationError as error:
        filled.mistakes.append(
            Mistake((option.name,), f"the option's own annotation {error}", "see harness.spec.options")
        )
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        steps = errors[0]["loc"] if len(errors) == 1 else ()
        filled.mistakes.append(Mistake((option.name, *steps), *said_together(errors)))


def _strictly(adapter: TypeAdapter[Any], value: Any) -> Any:
    """Validates as JSON, in which a list may stand for a tuple, but text never for a number."""
    return adapter.validate_json(json.dumps(value), strict=True)


class AnnotationError(ValueError):
    """An annotation that a suite cannot be checked against."""


def refers_to(option: Option) -> Reference | None:
    """Whether the option holds another prior or a cell, instead of a value."""
    names = _names(option.annotation)
    if "PriorRef" in names:
        return "PriorRef"
    return "CellRef" if "CellRef" in names else None


def holds_file(option: Option) -> bool:
    """Whether the option holds the path of a local file."""
    return "LocalFile" in _names(option.annotation)


def _names(annotation: str) -> set[str]:
    return {node.id for node in ast.walk(_expression(annotation)) if isinstance(node, ast.Name)}


@cache
def _expression(annotation: str) -> ast.expr:
    tree = ast.parse(annotation, mode="eval").body
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):  # written in quotes
        return ast.parse(tree.value, mode="eval").body
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
            raise AnnotationError(f"{annotation!r} is more than a type")
        if isinstance(node, ast.Name) and node.id not in _NAMES:
            raise AnnotationError(f"{annotation!r} is not known: {did_you_mean(node.id, _NAMES) or node.id}")
    code = compile(ast.Expression(tree), "<annotation>", "eval")
    try:
        return TypeAdapter(eval(code, {"__builtins__": {}}, _NAMES))
    except (TypeError, pydantic.errors.PydanticUserError) as error:
        raise AnnotationError(f"{annotation!r} is not a type: {error}") from error
