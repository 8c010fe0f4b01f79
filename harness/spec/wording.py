"""Says pydantic's complaints in the words of a suite's author: what is wrong, what to try."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from harness.core.errors import did_you_mean
from harness.core.identity import canonical_json
from harness.core.yaml import resolve_scalar

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
}
_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def said(error: ErrorDetails, siblings: Collection[str] = ()) -> tuple[str, str]:
    """What is wrong and what to try. `siblings` are the keys that the mapping with the mistake may have."""
    kind, value, step = error["type"], error.get("input"), str(error["loc"][-1]) if error["loc"] else ""
    context: Mapping[str, Any] = error.get("ctx") or {}
    if kind == "extra_forbidden":
        return f"unknown key {step!r}", did_you_mean(step, siblings)
    if kind == "missing":
        return f"{step!r} is missing", ""
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, not {shown(value)}", _trap(kind, value)
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        return f"{shown(value)} is none of {', '.join(choices) or context.get('expected')}", hint
    if kind in ("too_short", "too_long") and not value:
        return "an empty list", "give at least one item, or remove the key"
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} has characters that a folder name should not have", "letters, digits, . _ -"
    message = str(context.get("error") or error["msg"]).removeprefix("Input should be ")
    return f"{shown(value)}: {message[:1].lower()}{message[1:]}" if kind.startswith(_BOUNDS) else message, ""


_BOUNDS = ("greater", "less", "multiple", "finite", "value_error", "too_")


def short(value: Any) -> str:
    """An option's value as labels show it, on one line."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(short, value)) + "]"
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
