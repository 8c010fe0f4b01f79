"""What an option may be, in words, from its annotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.api.options import AnnotationError, adapter_of, holds_file, refers_to
from harness.core.source import Option
from harness.core.wording import short

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "a mapping",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}


def allowed(option: Option) -> str:
    """`a whole number, at least 1, at most 256`; the annotation itself where it has no words."""
    refers = refers_to(option)
    if refers is not None:
        return "a prior" if refers == "PriorRef" else "a cell: {task: NAME, backbone: NAME}"
    if holds_file(option):
        return "a path, relative to the suite file"
    try:
        return _words(adapter_of(option.annotation).json_schema()) or option.annotation
    except (AnnotationError, ValueError, TypeError):
        return option.annotation


def _words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(filter(None, (_words(each) for each in schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        return " or ".join(short(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return _list(schema)
    words = [_TYPES.get(str(schema.get("type")), "")]
    words += [f"{said} {schema[key]:,.12g}" for key, said in _BOUNDS.items() if key in schema]
    return ", ".join(filter(None, words))


def _list(schema: Mapping[str, Any]) -> str:
    """A list's length and items."""
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    of = schema.get("prefixItems") or [schema.get("items", {})]
    items = " and ".join(dict.fromkeys(filter(None, map(_words, of))))
    if most is not None:
        count = f" of {least}" if least == most else f" of {least} to {most}"
    else:
        count = f" of at least {least}" if least else ""
    return f"a list{count}{f', each {items}' if items else ''}"
