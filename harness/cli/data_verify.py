"""`bench data verify`: reads all of a prepared set, here or on another store, and says what is damaged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.api.library import how_to_prepare, read_note
from harness.api.sets import PreparedSet
from harness.cli import exits
from harness.cli.data_common import FolderOption, data_folder, library_folder, set_called
from harness.cli.exits import WrongArgument
from harness.core.damage import forget_damage
from harness.core.errors import HarnessError

if TYPE_CHECKING:
    from harness.data.inspection import Inspected

SubjectArgument = Annotated[
    str,
    typer.Argument(metavar="NAME|URL", help="A data set of the library, a prepared set, or where one was pushed to."),
]


def verify(subject: SubjectArgument, folder: FolderOption = None) -> int:
    """Compare every file of a data set with its manifest, and decode every image. What is damaged is one report."""
    from harness.data.inspection import inspect, report

    found: list[Inspected] = []
    with _splits(subject, folder) as (splits, keep, hint):
        for split in splits:
            found.append(inspect(split, keep=keep))
            if not found[-1].problems:
                forget_damage(split)
                typer.echo(f"{split.parent.name}/{split.name}: sound, {_counted(found[-1])}")
    if any(each.problems for each in found):
        raise report(found, hint)
    return exits.DONE


def _counted(found: Inspected) -> str:
    """`485 images (970 pictures)`: what preparing counts as images are pairs where the set has them."""
    pictures = f" ({found.images:,} pictures)" if found.images != found.samples else ""
    return f"{found.samples:,} images{pictures}"


@contextmanager
def _splits(subject: str, folder: Path | None) -> Iterator[tuple[list[Path], bool, str]]:
    """The folders of the splits, whether shards that are fetched stay, and what mends them."""
    if "://" in subject or "/" in subject or _is_place(subject, folder):
        from harness.data import exchange

        with tempfile.TemporaryDirectory(prefix="priorbench-") as place:
            hint = "where the set is sound: bench data push SET --to URL --verify"
            yield exchange.pull(subject.rstrip("/"), Path(place)), False, hint
        return
    library = library_folder(folder)
    note = read_note(subject, library)
    if note is not None:
        sets = [PreparedSet(dataset=note.dataset, split=split).folder(library) for split in note.splits]
        yield sets, True, f"{how_to_prepare(subject)} prepares again what is damaged"
        return
    yield _prepared(subject, folder), True, "the next run of a suite that needs it prepares it again"


def _is_place(subject: str, folder: Path | None) -> bool:
    """Whether a name without a slash is that of a folder, and of no data set."""
    from harness.parts.catalogue import REGISTRY

    if not os.path.isdir(subject) or subject in REGISTRY.names("dataset"):
        return False
    try:
        set_called(data_folder(folder), subject)
    except WrongArgument:
        return True
    return False


def _prepared(subject: str, folder: Path | None) -> list[Path]:
    """The splits of a prepared set of a data folder."""
    from harness.cli.data_common import source_of
    from harness.data import exchange
    from harness.parts.catalogue import REGISTRY

    if subject in REGISTRY.names("dataset") and source_of(subject, REGISTRY) is not None:
        library = library_folder(folder)
        hint = how_to_prepare(subject)
        raise HarnessError("it is not prepared", where=f"{subject} in {library}", hint=hint, kind="data")
    place = data_folder(folder)
    return exchange.splits_here(place, set_called(place, subject))
