"""Cells that are made again: the old results stay in place, whole, until the new ones are.

A cell that is forced or stale is made in `<out>/cells/.<id>.anew/`, and so is one whose evaluations alone are made
again: its new folder then begins with the training of the old one. Jobs find the folder through a Layout whose `anew`
names the cell. Four steps, each of which a kill may cut off:

1. `begin` makes the folder. One that an earlier run left half is gone on with.
2. `mark_whole` leaves a mark in it once all the cell's jobs of the run are done.
3. `swap` renames the old folder to `.<id>.old` and the new one into place, and removes the old one.
4. `recover` does at the next start, under the folder's lock, what a kill left of the third step: an `.old` without a
   folder in place was cut off between the renames, one beside it was not removed yet, and a marked folder waits.

A reader that comes between the two renames finds the old folder (Layout.cell).
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError
from harness.core.paths import Layout, atomic_folder, storage_error, write_bytes
from harness.records import store
from harness.records.model import Attempt, Failure, Provenance, RunRecord

_MARK = ".whole"


def begin(layout: Layout, cell_id: str, *, keep_training: bool) -> None:
    """Makes the folder that a cell is made again in; one that is there is gone on with.

    With `keep_training` it begins as the old folder without evaluations: weights are linked, or copied where links
    cannot be made. Raises HarnessError (kind `storage`).
    """
    target = layout.anew_cell(cell_id)
    if target.is_dir():
        return
    with atomic_folder(target) as folder:
        if keep_training:
            _seed(layout, cell_id, folder)


def _seed(layout: Layout, cell_id: str, folder: Path) -> None:
    """What stays of a cell whose evaluations are made again: its record without them, its events and its weights."""
    record = _sound(layout, cell_id)
    if record is None:
        return
    bare = {"status": "trained", "evaluations": (), "images_sha256": None, "failure": None}
    store.save_at(folder / "record.json", record.model_copy(update=bare))
    old = layout.placed_cell(cell_id)
    if (old / "events.jsonl").is_file():  # it is added to in place, so that the new folder needs its own
        shutil.copyfile(old / "events.jsonl", folder / "events.jsonl")
    weights = layout.final_weights(cell_id).relative_to(layout.cell(cell_id))
    if (old / weights).is_file():
        (folder / weights).parent.mkdir(parents=True)
        _link(old / weights, folder / weights)


def _link(source: Path, target: Path) -> None:
    """One file under two names, as files are replaced and never changed in place. A copy where links are refused."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sound(layout: Layout, cell_id: str) -> RunRecord | None:
    """The record of the folder in place; None when there is none that can be read."""
    try:
        return store.load(Layout(layout.out, layout.data), cell_id)
    except HarnessError:
        return None


def mark_whole(layout: Layout, cell_id: str) -> None:
    """Says that all jobs of a cell that is made again are done, so that a later start may swap it in."""
    if layout.anew_cell(cell_id).is_dir():
        write_bytes(layout.anew_cell(cell_id) / _MARK, b"")


def swap(layout: Layout, cell_id: str) -> None:
    """Puts the new folder of a cell in the place of the old one, which is removed. Nothing happens without a new one.

    Raises HarnessError (kind `storage`); the old folder is then in place, or `recover` puts one there.
    """
    new, place, old = layout.anew_cell(cell_id), layout.placed_cell(cell_id), layout.old_cell(cell_id)
    if not new.is_dir():
        return
    try:
        if os.path.lexists(place):
            if os.path.lexists(old):
                _remove(old)
            os.rename(place, old)
        os.rename(new, place)
        (place / _MARK).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, place) from error
    _remove(old)


def drop_empty(layout: Layout, cell_id: str) -> None:
    """Removes a new folder that nothing was written into, as when its first job never started."""
    with suppress(OSError):
        layout.anew_cell(cell_id).rmdir()


def recover(layout: Layout) -> list[str]:
    """Ends the swaps that a kill cut off; gives the ids of the cells whose new folder is now in place.

    To be called under the folder's lock, before anything is planned.
    """
    swapped = []
    for old in _named(layout, ".old"):
        cell_id = _id_of(old)
        if os.path.lexists(layout.placed_cell(cell_id)):
            _remove(old)
        elif layout.anew_cell(cell_id).is_dir():
            swap(layout, cell_id)
            swapped.append(cell_id)
            _remove(old)
        else:
            _rename(old, layout.placed_cell(cell_id))
    for new in _named(layout, ".anew"):
        if (new / _MARK).is_file():
            swap(layout, _id_of(new))
            swapped.append(_id_of(new))
    for leftover in _named(layout, ".tmp"):
        _remove(leftover)
    return swapped


def waiting(layout: Layout) -> bool:
    """Whether `recover` has anything to do."""
    marked = any((new / _MARK).is_file() for new in _named(layout, ".anew"))
    return marked or any(True for end in (".old", ".tmp") for _ in _named(layout, end))


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
    if _sound(layout, cell_id) is not None or not os.path.lexists(plain.cell(cell_id)):
        with suppress(HarnessError):  # it is noted where the cell is made
            store.note_attempt(plain, **said)


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


def _remove(folder: Path) -> None:
    """Removes a folder at once for whoever looks for it by name; what a kill leaves is removed by `recover`."""
    away = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        os.rename(folder, away)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, folder) from error
    if away.is_dir() and not away.is_symlink():
        shutil.rmtree(away, ignore_errors=True)
    else:
        away.unlink(missing_ok=True)
