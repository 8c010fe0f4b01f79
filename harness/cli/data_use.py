"""Which prepared content of a data set of the field suites find under its name, and when another takes its place."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from harness.api.library import Note, read_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.core.errors import DataError

ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace", help="Also in place of a real set by examples, or of one with splits that this one does not have."
    ),
]


def in_use(name: str, place: Path) -> Note | None:
    """The note of a data set; None when there is none, or it is damaged: it is written again."""
    with suppress(DataError):
        return read_note(name, place)
    return None


def named(dataset: PartRef) -> str:
    """`lol_v1.d59c03be (example)`: one content of a data set, as `bench data list` names it."""
    return f"{PreparedSet(dataset=dataset, split='train').name}{dataset.called.removeprefix(dataset.name)}"


def check_replaces(dataset: PartRef, splits: Collection[str], place: Path, command: str) -> None:
    """Raises DataError when a content must not silently take the place of the one in use: it is made of examples, or
    lacks splits. `command`: what does it all the same."""
    before = in_use(dataset.name, place)
    if before is None or before.dataset == dataset:
        return
    lacking = [split for split in before.splits if split not in splits]
    if dataset.is_example and not before.dataset.is_example:
        why = "the other copy is made of examples"
    elif lacking:
        why = f"the other copy has no {' and no '.join(lacking)} split"
    else:
        return
    here = ", ".join(f"{number:,} {split}" for split, number in before.splits.items())
    what = f"{named(before.dataset)} ({here}) is in use and stays so: {why}, {named(dataset)}"
    raise DataError(what, where=f"data set {dataset.name} in {place}", hint=f"{command} puts it in use all the same")


def told_replaced(before: Note | None, dataset: PartRef) -> None:
    """Says which content suites no longer find."""
    if before is not None and before.dataset != dataset:
        typer.echo(f"in place of {named(before.dataset)}, which suites no longer find by this name")
