"""A part's options: filled with defaults and checked against their annotations, without importing the part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.api.options import AnnotationError, Reference, adapter_of, checked, holds_file, refers_to
from harness.api.traits import Rule
from harness.core.errors import did_you_mean
from harness.core.source import REQUIRED, Option
from harness.core.wording import Mistake, said_together
from harness.spec.fitting import rule_mistakes

_NO_RANGE, _NO_NUMBER = ("tuple_type", "list_type"), ("float_type", "int_type")
"""What pydantic says of a number in the place of a range, and of a range in the place of a number."""

__all__ = ["AnnotationError", "Filled", "adapter_of", "fill", "refers_to"]


@dataclass
class Filled:
    """All options of a part. Those that refer to other parts stand apart, as the file gives them."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """The paths that the file gives, as it gives them."""
    references: dict[str, tuple[Reference, Any]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def fill(options: Mapping[str, Option], given: Mapping[str, Any], title: str, rules: Sequence[Rule] = ()) -> Filled:
    """Checks what a suite gives for a part against the part's options and their rules, and adds the defaults.

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
            filled.mistakes.append(Mistake((), f"{title} needs the option {option.name!r}", _example(option, title)))
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
    if not filled.mistakes:
        filled.mistakes += rule_mistakes(rules, options, filled.values, given)
    return filled


def _example(option: Option, title: str) -> str:
    if holds_file(option):
        return f"add {option.name}: {'FOLDER' if title.startswith('dataset ') else 'FILE'}"
    examples = {"PriorRef": f"{option.name}: nss", "CellRef": f"{option.name}: {{task: ..., backbone: ...}}"}
    return "add " + examples.get(refers_to(option) or "", f"{option.name}: <{option.annotation}>")


def _check(option: Option, value: Any, filled: Filled) -> None:
    try:
        filled.values[option.name] = checked(option.annotation, value)
    except AnnotationError as error:
        filled.mistakes.append(
            Mistake((option.name,), f"the option's own annotation {error}", "see harness.api.options")
        )
    except ValidationError as failure:
        errors = _meant(failure.errors(include_url=False), value)
        steps = errors[0]["loc"] if len(errors) == 1 else ()
        filled.mistakes.append(Mistake((option.name, *steps), *said_together(errors)))


def _meant(errors: list[ErrorDetails], value: Any) -> list[ErrorDetails]:
    """The errors of the shape that a value has, where an option takes a number or a range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    other = _NO_RANGE if number else _NO_NUMBER if isinstance(value, list | tuple) else ()
    return [error for error in errors if error["type"] not in other or len(error["loc"]) > 1] or errors
