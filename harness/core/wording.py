"""Messages for mistakes in a suite, also for pydantic's errors: what is wrong and what to try."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from harness.core.errors import did_you_mean
from harness.core.identity import canonical_json
from harness.core.scalars import resolve_scalar
from harness.core.yaml import Path


def marked(name: str, marks: Sequence[str]) -> str:
    """`name (mark, mark)`, without the marks that the name itself ends with; how every table says what it must."""
    said = name.rpartition("(")[2].removesuffix(")").split(", ") if name.endswith(")") else []
    new = [mark for mark in marks if mark not in said]
    return f"{name} ({', '.join(new)})" if new else name


@dataclass(frozen=True)
class Mistake:
    """A mistake whose place in the file is not yet known. `path` leads to it from the mapping that was checked."""

    path: Path
    what: str
    hint: str = ""
    unknown: bool = False
    """Whether the name of a key is wrong, and not its value."""


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "none_required": "nothing",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_LENGTHS = {"string_too_long": ("max_length", "at most"), "string_too_short": ("min_length", "at least")}
_QUOTE = "'"
_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def said(error: ErrorDetails, siblings: Collection[str] = ()) -> tuple[str, str]:
    """What is wrong and what to try. `siblings` are the keys that the mapping with the mistake may have."""
    step = error["loc"][-1] if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"unknown key {shown(str(step))}", did_you_mean(str(step), siblings)
    if error["type"] == "missing":
        return f"item {step} is missing" if isinstance(step, int) else f"{step!r} is missing", _named(error)
    return _said_of_value(error["type"], error.get("input"), error.get("ctx") or {}, error["msg"])


def said_together(errors: Sequence[ErrorDetails], siblings: Collection[str] = ()) -> tuple[str, str]:
    """One message for several errors about one value; each member of a union gives an error of its own."""
    phrases = [said(error, siblings) for error in errors]
    whats = list(dict.fromkeys(what for what, _ in phrases))
    hint = next((hint for _, hint in phrases if hint), "")
    start, end = "expected ", f", not {shown(errors[0].get('input'))}"
    if all(what.startswith(start) and what.endswith(end) for what in whats):
        return start + " or ".join(what.removeprefix(start).removesuffix(end) for what in whats) + end, hint
    several = len({error["loc"] for error in errors if len(error["loc"]) and isinstance(error["loc"][-1], int)}) > 1
    return ("; " if several else " or ").join(whats), hint


def _said_of_value(kind: str, value: Any, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, not {shown(value)}", _trap(kind, value)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"expected {words} {short(context[bound])}, not {shown(value)}", ""
    if kind == "literal_error":
        choices = str(context["expected"])
        hint = did_you_mean(value, re.findall(r"'([^']*)'", choices)) if isinstance(value, str) else ""
        near = hint if hint.startswith("did you mean") else ""  # all of them stand in the sentence itself
        near = "write none" if value is None and "'none'" in choices else near
        return f"expected {choices.replace(_QUOTE, '')}, not {shown(value)}", near
    if kind in ("too_short", "too_long") and not value:
        return "an empty list", "give at least one item, or remove the key"
    if kind in ("too_short", "too_long") and isinstance(value, list | tuple):
        words, bound = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"expected {words} {context[bound]} items, not {len(value)}", ""
    if kind == "string_pattern_mismatch" and "A-Z" not in str(context["pattern"]):
        return f"expected text like {context['pattern']}, not {shown(value)}", ""
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} has characters that a folder name should not have", "letters, digits, . _ -"
    if kind in _LENGTHS:
        bound, words = _LENGTHS[kind]
        count = f"{len(value):,} characters" if isinstance(value, str) and value else "empty text"
        return f"expected {words} {context[bound]} characters, not {count}", ""
    text = str(context.get("error") or message).removeprefix("Input should be ")
    if kind.startswith(("value_error", "too_")):
        return f"{shown(value)}: {text[:1].lower()}{text[1:]}", ""
    return f"{text}, not {shown(value)}" if text.startswith("expected ") else text, str(context.get("hint", ""))


def _named(error: ErrorDetails) -> str:
    """What to write where `name` is missing because the name stands as the key: {nafnet: {width: 8}}."""
    value = error.get("input")
    if error["loc"][-1] != "name" or not isinstance(value, dict) or len(value) != 1:
        return ""
    name, inner = next(iter(value.items()))
    if isinstance(inner, dict):
        return f"the name is a value, too: {{name: {name}, {', '.join(f'{key}: …' for key in list(inner)[:3])}}}"
    return ""


def short(value: Any) -> str:
    """An option's value as labels show it, on one line."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(short, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:g}"
    return canonical_json(value) if value is None or isinstance(value, bool) else str(value)


def shown(value: Any) -> str:
    """A value as a message quotes it: short, text in quotes, YAML's words for the rest."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _trap(kind: str, value: Any) -> str:
    """The usual reason for a value of the wrong type, if there is one."""
    if isinstance(value, str):
        if kind == "bool_type" and value.lower() in _SWITCHES:
            return f"write {_SWITCHES[value.lower()]}: YAML 1.2 reads {value} as text"
        number = resolve_scalar(value.replace("_", ""))
        if kind in ("int_type", "float_type") and isinstance(number, int | float) and not isinstance(number, bool):
            return f"write {number}, without quotes or underscores"
    if isinstance(value, float) and kind.startswith("int") and value.is_integer():
        return f"write {int(value)}"
    if isinstance(value, bool) and kind == "string_type":
        return f'write "{str(value).lower()}" in quotes'
    if kind in ("tuple_type", "list_type") and value is not None and not isinstance(value, dict):
        return f"write [{value}]"
    return ""
