"""The data sets of the field that a suite names and that the library does not have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.api.declaration import declaration
from harness.api.library import InLibrary, how_to_prepare, library, read_note
from harness.cells.suite import SuiteCell
from harness.core.errors import DataError, HarnessError
from harness.core.registry import Registry
from harness.planning.disk import read_manifest


@dataclass(frozen=True)
class Unprepared:
    """A data set of the field that is to be downloaded and prepared."""

    name: str
    title: str
    size: str
    page: str
    command: str
    state: str = "not prepared"
    """What is the matter with it in the library."""

    def __str__(self) -> str:
        return f"{self.name}: {self.title}, {self.size}, {self.page} · {self.command}"


def unprepared(cells: Iterable[SuiteCell], registry: Registry) -> list[Unprepared]:
    """The data sets of the field that some cells train or are tested on and that are not prepared, each once, in the
    order in which the cells name them."""
    named = [part.name for each in cells for part in (each.cell.train, *(test.dataset for test in each.tests))]
    found = (_unprepared(name, registry) for name in dict.fromkeys(named))
    return [each for each in found if each is not None]


def _unprepared(name: str, registry: Registry) -> Unprepared | None:
    try:
        traits = declaration(registry, "dataset", name).traits
    except HarnessError:  # of a suite of an earlier release
        return None
    if traits.source is None:
        return None
    folder, source = library(), traits.source
    state = "not prepared"
    try:
        if (note := read_note(name, folder)) is not None:
            other = note.part_version != str(traits.version)
            state = "prepared for another version" if other else state
            check_whole(InLibrary(name, traits, folder))
            return None
    except Lost:
        pass
    except DataError:
        state = "damaged in the library" if state == "not prepared" else state
    return Unprepared(name, source.title, source.size, source.page, how_to_prepare(name), state)


class Lost(DataError):
    """The library's files of a data set are gone."""


def check_whole(dataset: InLibrary) -> None:
    """Raises DataError, with what mends it, when the library's files of a data set are gone, or known to be damaged.

    Sizes are compared, and what jobs have noted is read; `bench data verify` reads every file.
    """
    again = how_to_prepare(dataset.name)
    for split in dataset.splits():
        manifest = read_manifest(dataset.stored(split).folder(dataset.folder), dataset.folder)
        if manifest.damage is not None:
            what = f"its split {split} in the library {dataset.folder} is damaged: {manifest.damage}"
            raise DataError(what, where=f"data set {dataset.name}", hint=again)
        if manifest.content is None:
            what = f"its split {split} is not in the library {dataset.folder} any more"
            raise Lost(what, where=f"data set {dataset.name}", hint=again)
