"""Results whose folder is the working copy of a store's (harness.storage.copies): cells, suites, jobs, notes.

Each folder of a cell is a unit. In plain folders nothing happens. All raise as harness.storage.reach.done.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.core.paths import Layout, write_json
from harness.storage.copies import Copy, copy_at, held_here
from harness.storage.lock import check_locks
from harness.storage.mirror import AT_ONCE, Wanted, everything, fetch, fetch_all, records, shown, unchanged
from harness.storage.plain import bring_file, bring_files, send_file
from harness.storage.sending import forget, publish, renamed

CELLS = "cells"
PATIENCE = 60.0
"""Seconds that who changes a cell waits for another process of this machine that works on it."""


def bring_results(layout: Layout, wanted: Wanted = records) -> None:
    """Makes what lies here what the store has: of cells the files that are wanted, suites, notes of failures."""
    copy = copy_at(layout.out)
    if copy is None:
        return
    fetch_all(copy, CELLS, wanted)
    bring_files(layout.out / "suites", _any)
    bring_files(layout.out / "jobs", _is_failure)
    for note in (layout.out / "jobs").glob("*.failure.json"):
        bring_log(layout, note.name.partition(".")[0])


def _any(name: str) -> bool:
    return not name.rpartition("/")[2].startswith(".")


def _is_failure(name: str) -> bool:
    return name.endswith(".failure.json")


def folders_of(layout: Layout, cell_id: str) -> tuple[Path, Path, Path]:
    """Those that a cell may have: its own, that in which it is made again, and the old one of a swap."""
    return layout.placed_cell(cell_id), layout.anew_cell(cell_id), layout.old_cell(cell_id)


def bring_cell(layout: Layout, cell_id: str, wanted: Wanted = shown) -> None:
    """Makes a cell's folders here what the store has."""
    copy = copy_at(layout.out)
    if copy is not None:
        with held_here(copy, f"{CELLS}/{cell_id}", PATIENCE):
            for folder in folders_of(layout, cell_id):
                fetch(copy, copy.unit(folder), wanted)


def send_cell(layout: Layout, cell_id: str) -> None:
    """Makes a cell's folders on the store what they are here, once none of its jobs runs."""
    copy = copy_at(layout.out)
    if copy is not None:
        check_locks()
        with held_here(copy, f"{CELLS}/{cell_id}", PATIENCE):
            for folder in folders_of(layout, cell_id):
                _send(copy, folder)


def _send(copy: Copy, folder: Path) -> None:
    unit = copy.unit(folder)
    known = copy.state_file(unit).is_file()
    if (folder.is_dir() and not unchanged(copy, unit)) or (known and not folder.is_dir()):
        publish(copy, unit)


def drop_folder(folder: Path) -> None:
    """Removes a folder of a cell from the store, once it is gone here."""
    copy = copy_at(folder)
    if copy is not None and copy.state_file(copy.unit(folder)).is_file():
        forget(copy, copy.unit(folder))


def bring_whole(layout: Layout, cell_id: str) -> None:
    """As `bring_cell`, with its weights: what is made again may begin with them."""
    bring_cell(layout, cell_id, everything)


@contextmanager
def swapping(layout: Layout, cell_id: str, without: Collection[str]) -> Iterator[None]:
    """Does on the store what the block does here: it renames the new folder of a cell into the place of the old one."""
    copy = copy_at(layout.out)
    if copy is None:
        yield
        return
    place, new, old = folders_of(layout, cell_id)
    check_locks()
    with held_here(copy, f"{CELLS}/{cell_id}", PATIENCE):
        yield
        renamed(copy, copy.unit(new), copy.unit(place), without)
        _send(copy, old)


def send_suite(layout: Layout, name: str) -> None:
    """Puts a suite and the copies of its plug-ins on the store."""
    file = layout.suite(name)
    for path in (file, *sorted(file.with_name(f"{name}.plugins").glob("[!.]*"))):
        send_file(path)


def send_failure(layout: Layout, job_id: str) -> None:
    """Puts the note of a failed job on the store, or removes it there when it is gone here."""
    send_file(layout.job_failure(job_id))


def bring_outcome(layout: Layout, job_id: str, cell_id: str | None, *, failed: bool) -> None:
    """Brings what a job that ended has left, wherever it ran: its cell, or the note of its failure, and its log."""
    if copy_at(layout.out) is None:
        return
    if cell_id is not None:
        bring_cell(layout, cell_id)
    else:
        bring_file(layout.job_failure(job_id))
    if failed:
        bring_file(layout.job_log(job_id))


def bring_outcomes(layout: Layout, ended: Iterable[tuple[str, str | None, bool]]) -> None:
    """`bring_outcome` of several jobs (id, cell's id, whether it failed), several at once."""
    if copy_at(layout.out) is None:
        return
    related: dict[str, list[tuple[str, str | None, bool]]] = {}
    for each in ended:
        related.setdefault(each[1] or each[0], []).append(each)  # one cell's would wait for each other

    def one(name: str) -> None:
        for job_id, cell_id, failed in related[name]:
            bring_outcome(layout, job_id, cell_id, failed=failed)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="outcomes") as pool:
        list(pool.map(one, related))


def bring_log(layout: Layout, job_id: str) -> None:
    """Brings the log of a job that ran elsewhere; one that is here stays."""
    if not layout.job_log(job_id).exists():
        bring_file(layout.job_log(job_id))


def send_attempt(layout: Layout, job_id: str) -> None:
    """Says on the store, in the job's file, what is the only try of it that may write."""
    file, attempt = layout.job_file(job_id), layout.job_attempt(job_id)
    if copy_at(layout.out) is not None:
        content = json.loads(file.read_bytes())
        write_json(file, {**content, "attempt": attempt.read_text(encoding="utf-8").strip()})
        send_file(file)


def job_place(layout: Layout, job_id: str) -> str:
    """Where workers find a job's file: its path, or its URL, once it is on the store."""
    check_locks()
    return send_file(layout.job_file(job_id)) or str(layout.job_file(job_id))
