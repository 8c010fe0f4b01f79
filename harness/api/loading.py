"""Imports the class of a part, and makes sure that it is the one that planning read from the source."""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

from harness.api.declaration import declaration
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.core.source import place_of


def load_part(registry: Registry, kind: str, name: str) -> Any:
    """The class of a part, imported.

    Raises HarnessError when its traits are not those that its source declares: code that runs on import has changed
    them, and the suite was planned for another part than would now run.
    """
    found = registry.load(kind, name)
    declared = declaration(registry, kind, name)
    if getattr_static(found, "traits", None) != declared.traits:
        file, line = place_of(declared.target)
        raise HarnessError(
            f"the {kind} {name} has other traits after its import than its source declares",
            where=f"{file}:{line}",
            hint="declare the traits once, as a literal in the body of the class, and do not change them",
        )
    return found
