"""Files of weights, and the names that published checkpoints use inside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable


@dataclass(frozen=True)
class WeightFile:
    """A file of weights that a part needs, and the command that gets it."""

    name: str
    path: str
    fetch: str
    """The command that gets it, ready to paste."""
    sha256: str | None = None
    """Known digest; None for a user's own file, which is hashed where it lies."""
    sha256_prefix: str = ""
    """The first digits of the digest, where no more is published."""


@dataclass(frozen=True)
class OfficialNames:
    """The names in the authors' checkpoints that differ from the module's own."""

    parts: Mapping[str, str] = field(default_factory=dict)
    """Dotted parts of the authors' parameter names → the module's own; an empty text drops the part."""
    extras: frozenset[str] = frozenset()
    """Entries of the authors' files that the module computes itself."""


@runtime_checkable
class Renamed(Protocol):
    """A module whose authors use other parameter names. Modules without `official` use the same ones."""

    official: ClassVar[OfficialNames]
