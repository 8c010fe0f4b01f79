"""The library: the data folder in which data sets of the field are prepared once, for all suites.

It is `$PRIORBENCH_DATA`, else `~/.cache/priorbench/data`. `<library>/datasets/<name>.json` says which prepared content
of a data set is in use; its splits lie in `<library>/sets/`, as all prepared sets do (harness.api.sets).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.reference import Frozen, PartRef
from harness.api.sets import PreparedSet
from harness.core.errors import DataError, HarnessError
from harness.core.identity import sealed, unsealed
from harness.core.paths import below, write_json

DATASETS = "datasets"
"""The folder of notes in the library."""


def library() -> Path:
    """$PRIORBENCH_DATA, if that is a folder, else `~/.cache/priorbench/data`."""
    given = os.environ.get("PRIORBENCH_DATA") or ""
    return Path(given if given and "://" not in given else "~/.cache/priorbench/data").expanduser().absolute()


def how_to_prepare(name: str) -> str:
    """The command that prepares a data set of the field."""
    return f"bench data prepare {name} --from DIR"


class Note(Frozen):
    """What the library says of a data set: written when all of its splits are there."""

    dataset: PartRef
    """With the digest of its content and without places of files."""
    splits: dict[str, int]
    """Samples of each split, in the order of the data set."""
    layout: str = ""
    """The layout in which it was found."""
    warnings: tuple[str, ...] = ()
    """What its preparation remarked, such as an unusual number of images."""

    @property
    def part_version(self) -> str:
        """The version of the part that read it, without the digest of a plug-in's code."""
        return self.dataset.version.partition("+")[0]


def note_file(name: str, folder: Path) -> Path:
    """Where the note of a data set lies."""
    return below(folder, DATASETS, f"{name}.json")


def write_note(note: Note, folder: Path) -> None:
    """Puts a data set of a library in use."""
    write_json(note_file(note.dataset.name, folder), sealed(note.model_dump(mode="json")))


def read_note(name: str, folder: Path) -> Note | None:
    """The note of a data set; None when there is none. Raises DataError for one that is damaged."""
    path = note_file(name, folder)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}", where=str(path)) from error
    try:
        return Note.model_validate(unsealed(content).content)
    except (ValueError, HarnessError) as error:
        hint = f"{how_to_prepare(name)} writes it again"
        raise DataError("this note of the library is damaged", where=str(path), hint=hint) from error


@dataclass(frozen=True)
class StoredSample:
    """What the index of a prepared set says of a sample: the sides of its images in pixels, and the channels of the
    degraded and the clean one; None for one that it does not have."""

    key: str
    height: int
    width: int
    degraded: int | None
    clean: int | None


class InLibrary:
    """A data set of the field as the library has it. It answers what planning asks; its images are read from the
    prepared sets (harness.data.library)."""

    def __init__(self, name: str, traits: DatasetTraits, folder: Path) -> None:
        assert traits.source is not None, name
        self.name, self.traits, self.folder = name, traits, folder

    @cached_property
    def note(self) -> Note:
        """Raises DataError, with the command that prepares it, when the library does not have it, or has it as another
        version of the part read it."""
        found = read_note(self.name, self.folder)
        if found is None:
            source = self.traits.source
            assert source is not None
            what = f"{source.title} is not prepared ({source.size}; {source.page})"
            raise DataError(what, where=f"data set {self.name}", hint=how_to_prepare(self.name))
        prepared, now = found.part_version, str(self.traits.version)
        if prepared != now:
            what = f"it is prepared for version {prepared} of this data set, and this is version {now}"
            raise DataError(what, where=f"data set {self.name}", hint=how_to_prepare(self.name))
        return found

    def splits(self) -> Sequence[str]:
        return tuple(self.note.splits)

    @property
    def declared(self) -> Sequence[str]:
        """The splits that the data set has where it is whole; the library's copy may lack some."""
        assert self.traits.source is not None
        return self.traits.source.splits()

    def fingerprint(self) -> str:
        assert self.note.dataset.digest is not None
        return self.note.dataset.digest

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) of every sample of a split, from its index."""
        table = self._index(split, ["key", "scene"])
        return list(zip(table["key"].to_pylist(), table["scene"].to_pylist(), strict=True))

    def ends(self, split: str) -> list[StoredSample]:
        """The first and the last sample of a split, from its index; one where it has one."""
        sides = [f"{side}_{what}" for side in ("lq", "gt") for what in ("height", "width", "channels")]
        table = self._index(split, ["key", *sides])
        found = [table.slice(row, 1).to_pylist()[0] for row in dict.fromkeys((0, table.num_rows - 1))]
        return [
            StoredSample(
                row["key"],
                row["lq_height"] if row["gt_height"] is None else row["gt_height"],
                row["lq_width"] if row["gt_width"] is None else row["gt_width"],
                row["lq_channels"],
                row["gt_channels"],
            )
            for row in found
        ]

    def _index(self, split: str, columns: list[str]) -> Any:
        """Columns of the index of a split, as a pyarrow.Table."""
        import pyarrow.parquet as pq

        path = self.stored(split).folder(self.folder) / "index.parquet"
        try:
            return pq.read_table(path, columns=columns, partitioning=None)
        except (OSError, ValueError) as error:
            hint = f"bench data verify {self.name}"
            raise DataError("the index cannot be read", where=str(path), hint=hint) from error

    def stored(self, split: str) -> PreparedSet:
        """The prepared set of a split. Raises DataError for an unknown split."""
        if split not in self.note.splits:
            known = ", ".join(self.note.splits)
            raise DataError(f"there is no split {split!r}", where=f"data set {self.name}", hint=f"known: {known}")
        return PreparedSet(dataset=self.note.dataset, split=split)

    def images(self, split: str) -> Iterator[SourceImage]:
        raise NotImplementedError("harness.data.library reads them")
