"""A lazy name table: a line says where a part lives; the part's module is imported when it is first used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.guests import PARTS
from harness.core.running import import_file
from harness.core.source import is_file


@dataclass(frozen=True)
class Entry:
    """One catalogue line: what kind of part, its name in suites, "module:attribute", one phrase for `bench list`."""

    kind: str
    name: str
    target: str
    summary: str = ""


class Registry:
    """Entries by (kind, name). Never changes after it is made; `extended` gives a new one."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            taken = self._entries.setdefault((entry.kind, entry.name), entry)
            if taken is not entry:
                raise HarnessError(
                    f"{entry.kind} {entry.name!r} is named twice: {taken.target} and {entry.target}",
                    hint="rename one of them",
                )

    def extended(self, entries: Iterable[Entry]) -> Registry:
        """This table and more lines (plug-ins). Raises HarnessError when a name is taken."""
        return Registry([*self._entries.values(), *entries])

    def entries(self, kind: str | None = None) -> list[Entry]:
        """The lines of one kind, or all, in catalogue order."""
        return [entry for entry in self._entries.values() if kind in (None, entry.kind)]

    def names(self, kind: str) -> list[str]:
        return [entry.name for entry in self.entries(kind)]

    def get(self, kind: str, name: str) -> Entry:
        """The entry with that name. Raises UnknownName with the nearest known names."""
        try:
            return self._entries[kind, name]
        except KeyError:
            raise UnknownName(f"no {kind} is called {name!r}", hint=did_you_mean(name, self.names(kind))) from None

    def load(self, kind: str, name: str) -> Any:
        """Imports the part's module and gives the attribute: a class or a factory."""
        module, _, attribute = self.get(kind, name).target.partition(":")
        if not is_file(module):
            return getattr(import_module(module), attribute)
        PARTS[module, attribute] = f"{kind} {name}"
        return getattr(import_file(module), attribute)
