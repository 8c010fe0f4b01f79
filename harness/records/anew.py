"""Cells that are made again: the old results stay in place, whole, until the new ones are.

A cell that is forced or stale is made in `<out>/cells/.<id>.anew/`, and so is one whose evaluations alone are made
again: its new folder then begins with the training of the old one and with what of its values is still good. Jobs find
the folder through a Layout whose `anew` names the cell. Four steps, each of which a kill may cut off:

1. `begin` makes the folder. One that an earlier run left half for the same purpose is gone on with.
2. `mark_whole` leaves a mark in it once all the cell's jobs of the run are done.
3. `swap` renames the old folder to `.<id>.old` and the new one into place, and removes the old one.
4. `recover` does at the next start, under the folder's lock, what a kill left of the others: an `.old` without a folder
   in place was cut off between the renames, one beside it was not removed yet, and a new folder that is marked, or
   whole by what it holds (harness.records.remake), waits.

A reader that comes between the two renames finds the old folder (Layout.cell).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError
from harness.core.outlast import is_there, outlast
from harness.core.paths import Layout, atomic_folder, remove_away, storage_error, write_bytes
from harness.records import store
from harness.records.mirrored import bring_whole, drop_folder, send_cell, swapping
from harness.records.model import Attempt, Failure, Provenance
from harness.records.remake import NOTE, Remake, based, is_whole, read_note, seed, sound, write_note

_MARK = ".whole"


def begin(layout: Layout, cell_id: str, remake: Remake) -> None:
    """Makes the folder that a cell is made again in.

    One that is there is gone on with when it was begun for the same purpose, beside the same results. To rescore, it
    begins as the old folder without the evaluations that are outdated; nothing is made where there is no training to
    score. Raises HarnessError (kind `storage`), Untouchable when the old values cannot be read now.
    """
    if remake.purpose == "rescore":
        bring_whole(layout, cell_id)
    _begin(layout, cell_id, remake)
    send_cell(layout, cell_id)


def _begin(layout: Layout, cell_id: str, remake: Remake) -> None:
    target, old = layout.anew_cell(cell_id), sound(Layout(layout.out, layout.data), cell_id)
    remake = based(remake, old)
    known = read_note(target)
    if known is not None and known.basis == remake.basis:
        write_note(target, remake)
        return
    remove_away(target)
    drop_folder(target)
    if remake.purpose == "train":
        with atomic_folder(target) as folder:
            write_note(folder, remake)
    elif old is not None and (old.training is not None or old.cell.get("backbone") is None):
        with atomic_folder(target) as folder:
            seed(layout, old, remake.outdated, folder)
            write_note(folder, remake)


def mark_whole(layout: Layout, cell_id: str) -> None:
    """Says that all jobs of a cell that is made again are done, so that a later start may swap it in."""
    if is_there(layout.anew_cell(cell_id)):
        write_bytes(layout.anew_cell(cell_id) / _MARK, b"")
        send_cell(layout, cell_id)


def swap(layout: Layout, cell_id: str) -> None:
    """Puts the new folder of a cell in the place of the old one, which is removed. Nothing happens without a new one.

    Raises HarnessError (kind `storage`); the old folder is then in place, or `recover` puts one there.
    """
    new, place, old = layout.anew_cell(cell_id), layout.placed_cell(cell_id), layout.old_cell(cell_id)
    if is_there(new):
        with swapping(layout, cell_id, (_MARK, NOTE)):
            _swap(new, place, old)


def _swap(new: Path, place: Path, old: Path) -> None:
    def rename() -> None:
        if os.path.lexists(place):
            if os.path.lexists(old):
                remove_away(old)
            os.rename(place, old)
        os.rename(new, place)

    try:
        outlast(rename, place)
        for note in (_MARK, NOTE):
            with suppress(FileNotFoundError):
                outlast((place / note).unlink, place)
    except OSError as error:
        raise storage_error(error, place) from error
    remove_away(old)


def drop_empty(layout: Layout, cell_id: str) -> None:
    """Removes a new folder that nothing was written into, as when its first job never started."""
    folder = layout.anew_cell(cell_id)
    with suppress(OSError):
        if os.listdir(folder) == [NOTE]:
            remove_away(folder)
            send_cell(layout, cell_id)


def take_in(layout: Layout, cell_id: str) -> bool:
    """Swaps in the new folder of a cell if it is whole, marked or not; whether it was."""
    if not (layout.anew_cell(cell_id) / _MARK).is_file() and not is_whole(layout, cell_id):
        return False
    mark_whole(layout, cell_id)
    swap(layout, cell_id)
    return True


def recover(layout: Layout) -> list[str]:
    """Ends the swaps that a kill cut off; gives the ids of the cells whose new folder is now in place.

    To be called under the folder's lock, before anything is planned.
    """
    swapped = []
    for old in _named(layout, ".old"):
        cell_id = _id_of(old)
        if os.path.lexists(layout.placed_cell(cell_id)):
            remove_away(old)
        elif layout.anew_cell(cell_id).is_dir():
            swap(layout, cell_id)
            swapped.append(cell_id)
            remove_away(old)
        else:
            _rename(old, layout.placed_cell(cell_id))
    for new in _named(layout, ".anew"):
        if take_in(layout, _id_of(new)):
            swapped.append(_id_of(new))
    for leftover in _named(layout, ".tmp"):
        remove_away(leftover)
    return swapped


def waiting(layout: Layout) -> bool:
    """Whether `recover` has anything to do."""
    news = _named(layout, ".anew")
    whole = any((new / _MARK).is_file() or is_whole(layout, _id_of(new)) for new in news)
    return whole or any(True for end in (".old", ".tmp") for _ in _named(layout, end))


def note_attempt(
    layout: Layout,
    *,
    cell_id: str,
    cell: dict[str, Any],
    labels: dict[str, str],
    attempt: Attempt,
    failure: Failure | None,
    provenance: Provenance,
) -> None:
    """As store.note_attempt. A failure of a cell that is made again is noted on its old record as well.

    The old results stay as they are; a damaged old record is left alone.
    """
    said: dict[str, Any] = {
        "cell_id": cell_id,
        "cell": cell,
        "labels": labels,
        "attempt": attempt,
        "failure": failure,
        "provenance": provenance,
    }
    store.note_attempt(layout, **said)
    if failure is None or layout.cell(cell_id) != layout.anew_cell(cell_id):
        return
    plain = Layout(layout.out, layout.data)
    if sound(plain, cell_id) is not None or not os.path.lexists(plain.cell(cell_id)):
        with suppress(HarnessError):  # it is noted where the cell is made
            store.note_attempt(plain, **said, aside=True)


def _named(layout: Layout, end: str) -> Iterator[Path]:
    """The folders of cells whose name is `.<id>…<end>`."""
    cells = layout.out / "cells"
    try:
        with os.scandir(cells) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise storage_error(error, cells) from error
    yield from (cells / name for name in sorted(names) if name.endswith(end))


def _id_of(folder: Path) -> str:
    """The cell that a folder named `.<id>.<what>` is of."""
    return folder.name[1:].rpartition(".")[0]


def _rename(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        raise storage_error(error, target) from error
