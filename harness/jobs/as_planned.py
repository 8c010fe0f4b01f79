"""A job runs the code that it was planned with: a plug-in that was edited since then would train under another's id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from harness.api.declaration import declaration
from harness.api.kinds import KINDS
from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.planning.job import Work

_OF_FILE = "+"
"""Stands in the versions of plug-ins before the digest of their files."""


def check_parts(work: Work, registry: Registry) -> None:
    """Raises HarnessError when the file of a plug-in, or a helper of it, is another than when the job was planned."""
    for part in _parts(work):
        entries = [(kind, part.name) for kind in KINDS if part.name in registry.names(kind)]
        if _OF_FILE in part.version and entries:
            versions = [declaration(registry, kind, name).version for kind, name in entries]
            if part.version not in versions:
                kind, name = entries[0]
                file = registry.get(kind, name).target.rpartition(":")[0]
                what = f"{part.name} has changed since this job was planned: its file, or a helper of it"
                raise HarnessError(what, where=file, hint="run the suite again, which makes the cells of the new part")


def _parts(value: Any) -> Iterator[PartRef]:
    """Every part that a job's work names, at any depth."""
    if isinstance(value, PartRef):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
