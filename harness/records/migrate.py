"""Upgrades records of older schema versions, and refuses records of newer ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.core.errors import DataError
from harness.records.model import SCHEMA_VERSION

Step = Callable[[dict[str, Any]], dict[str, Any]]

UPGRADES: Mapping[int, Step] = {}
"""The step from each old version to the next; the step itself sets the new `schema_version`."""


class Untouchable(DataError):
    """A record that must not be taken for damaged and made again."""


class NewerSchema(Untouchable):
    """A record that a newer release wrote. It is sound."""


class Unreadable(Untouchable):
    """A record that cannot be read now, and may be sound: no permission, or a disk that reports an error."""


def refuse_newer(value: Any, *, where: str, newest: int = SCHEMA_VERSION) -> None:
    """Raises NewerSchema for a record that names a newer schema version than this release knows."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > newest:
        raise NewerSchema(
            f"has schema version {version}; this release reads versions up to {newest}",
            where=where,
            hint="upgrade priorbench, or choose another folder with --out",
        )


def upgrade(
    value: dict[str, Any], *, where: str, steps: Mapping[int, Step] = UPGRADES, newest: int = SCHEMA_VERSION
) -> dict[str, Any]:
    """The record as the newest version has it; the value itself when it is of that version.

    Raises NewerSchema when it is newer than this release knows, DataError when it names no version.
    """
    version = value.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DataError(f"names no schema version: {version!r}", where=where)
    refuse_newer(value, where=where, newest=newest)
    while version < newest:
        value = steps[version](value)
        version = value["schema_version"]
    return value
