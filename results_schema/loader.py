"""Reads the JSON Schemas that lie beside this file and checks values against them.

A schema's file is `<name>.v<version>.json`. A change that an old reader would misread gets a new version and a new
file; the old file stays, so that old results can still be checked.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


class SchemaError(ValueError):
    """A value that a schema refuses. The message names every place in it that is wrong."""


@cache
def schema(name: str, version: int = 1) -> dict[str, Any]:
    """The schema `<name>.v<version>.json`. Raises SchemaError when there is none."""
    file = files("results_schema") / f"{name}.v{version}.json"
    if not file.is_file():
        raise SchemaError(f"there is no schema {name!r} of version {version}")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


@cache
def _validator(name: str, version: int) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema(name, version))


def validate(name: str, value: Any) -> None:
    """Checks a parsed JSON value, by the version that its `schema_version` names (1 when it has none).

    Raises SchemaError with all that is wrong, one line each.
    """
    version = value.get("schema_version", 1) if isinstance(value, dict) else 1
    if not isinstance(version, int):
        raise SchemaError(f"{name}: schema_version: {version!r} is not an integer")
    problems = sorted(
        (".".join(map(str, error.absolute_path)) or "(top)", error.message)
        for error in _validator(name, version).iter_errors(value)
    )
    if problems:
        raise SchemaError("\n".join(f"{name} v{version}: {place}: {what}" for place, what in problems))
