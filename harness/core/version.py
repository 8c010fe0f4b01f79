"""The version of this package and what it requires, installed or run from a plain checkout."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTION = "priorbench"

PROJECT_FILE = Path(__file__).parents[2] / "pyproject.toml"
"""Beside the package in a checkout; not there in an installation."""


def package_version() -> str:
    """E.g. `0.1.0`; `0.1.0+source` for a checkout that is not installed; `unknown` when nothing says."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return f"{_project()['version']}+source" if _project() else "unknown"


def required_python() -> str:
    """The oldest Python that the package runs on, e.g. `3.11`."""
    try:
        wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except metadata.PackageNotFoundError:
        wanted = _project().get("requires-python", "")
    return wanted.removeprefix(">=")


def requirements() -> tuple[str, ...]:
    """The packages that it requires, as PEP 508 writes them; those of extras have a marker `extra == "…"`."""
    try:
        return tuple(metadata.requires(DISTRIBUTION) or ())
    except metadata.PackageNotFoundError:
        extras = _project().get("optional-dependencies", {})
        optional = [f'{line}; extra == "{extra}"' for extra, lines in extras.items() for line in lines]
        return (*_project().get("dependencies", ()), *optional)


@cache
def _project() -> dict[str, Any]:
    """The table `project` of the checkout's pyproject.toml; empty when there is none, or it is another project's."""
    try:
        project: dict[str, Any] = tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8"))["project"]
    except (FileNotFoundError, KeyError):
        return {}
    return project if project.get("name") == DISTRIBUTION else {}
