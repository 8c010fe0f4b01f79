"""Jobs whose results or data lie on a store: what one reads comes to this machine first, what it makes goes there.

The job works on the machine's working copy (harness.storage.copies) as on any folder. What it makes is sent at each
checkpoint and at its end, and replaces what the store has only as long as no other try of the job has begun. In plain
folders nothing happens.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from harness.api.running import Seat
from harness.api.sets import FeatureSet, PreparedSet
from harness.core.damage import noted_damage
from harness.core.errors import DataError, HarnessError
from harness.core.fence import Superseded
from harness.core.paths import Layout, write_text
from harness.data import mirrored as data_of
from harness.planning.job import (
    FeaturesWork,
    Job,
    ScoresWork,
    ShardsWork,
    TogetherWork,
    TrainWork,
    Work,
)
from harness.records import mirrored as records_of
from harness.storage.copies import Copy, copy_at, copy_of, held_here
from harness.storage.mirror import everything, fetch, records
from harness.storage.outgoing import Outgoing
from harness.storage.plain import bring_file, bring_files, send_file
from harness.storage.reach import is_url, patient

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_WAIT = 3600.0
"""Seconds that a process waits for the one of its machine that brings what their job reads."""


def job_here(path: str, seat: Seat) -> Path:
    """A job's file on this machine: of a URL in the working copy, with what the job needs to begin.

    Raises DataError when there is none, HarnessError (kind `storage`) when the store cannot be reached.
    """
    if not is_url(path):
        return Path(path)
    out, folder, name = path.rsplit("/", 2)
    copy = copy_of(out)
    file = copy.files / folder / name
    with patient():
        if not bring_file(file):
            raise DataError("cannot read the job file: there is no such object", where=path)
        _begin_attempt(file)
        if seat.local_rank == 0:
            bring_file(file.with_suffix(".log"))
            bring_files(copy.files / "suites", lambda name: not name.rpartition("/")[2].startswith("."))
    return file


def _begin_attempt(file: Path) -> None:
    """Says on this machine, too, which try of a job may write: an earlier one that lives here stops by it."""
    try:
        attempt = json.loads(file.read_bytes())["attempt"]
    except (ValueError, KeyError, TypeError):
        return  # whoever reads the file says what is wrong with it
    write_text(file.with_suffix(".attempt"), str(attempt))


@contextmanager
def staged(job: Job, layout: Layout, seat: Seat) -> Iterator[None]:
    """Brings what a job reads before the block, and sends what it made after it, and while it runs.

    The processes of one machine share what the first of them brings; rank 0 alone sends results. Raises as
    harness.storage.mirror, and Superseded when another try of the job has begun.
    """
    if copy_at(layout.out) is None and copy_at(layout.data) is None:
        yield
        return
    began = time.perf_counter()
    with patient(), ExitStack() as stack:
        out = copy_at(layout.out)
        if seat.local_rank == 0:
            if out is not None:
                _bring_cells(job, layout, out, seat, stack)
            _bring_data(job.work, layout.data)
            _tell_ready(job, layout)
        else:
            _await_ready(job, layout)
        log.info("brought from the store in %.1f s", time.perf_counter() - began)
        sending = Outgoing(out, _units(job, layout, out), _allowed(job, layout)) if out and seat.rank == 0 else None
        try:
            with sending or nullcontext():
                yield
        except BaseException:  # Ctrl-C, as a job that fails gives an outcome
            with suppress(HarnessError):
                _send(job, layout, seat, sending)
            raise
        _send(job, layout, seat, sending)


def _send(job: Job, layout: Layout, seat: Seat, sending: Outgoing | None) -> None:
    """Sends what a job has made when it has ended, however it did."""
    began = time.perf_counter()
    if seat.rank == 0:
        _send_data(job.work, layout.data)
    if sending is not None:
        sending.finish()
        if job.cell_id is None:
            records_of.send_failure(layout, job.id)
    log.info("sent to the store in %.1f s", time.perf_counter() - began)
    _send_log(layout.job_log(job.id, seat.rank))


def _units(job: Job, layout: Layout, out: Copy) -> list[str]:
    """The units that a job writes: the folder of its cell, and that in which it is made again."""
    if job.cell_id is None:
        return []
    place, new, _ = records_of.folders_of(layout, job.cell_id)
    return [out.unit(new), out.unit(place)] if job.cell_id in job.anew else [out.unit(place)]


def _bring_cells(job: Job, layout: Layout, out: Copy, seat: Seat, stack: ExitStack) -> None:
    """Brings the cell of a job, which rank 0 holds until the job ends, and the weights of those that it rests on."""
    for cell_id in _rests_on(job.work):
        with held_here(out, f"cells/{cell_id}", records_of.PATIENCE):
            for unit in _folders(job, layout, out, cell_id):
                fetch(out, unit, _weights)
    if job.cell_id is None:
        return
    free = stack.enter_context(held_here(out, f"cells/{job.cell_id}", records_of.PATIENCE))
    if not free:
        log.warning("an earlier try of this job is still alive here; it writes no more")
    again = job.cell_id in job.anew
    for unit in _folders(job, layout, out, job.cell_id):
        old = again and unit == out.unit(layout.placed_cell(job.cell_id))
        fetch(out, unit, records if old else everything)
    if seat.rank:
        stack.pop_all().close()


def _folders(job: Job, layout: Layout, out: Copy, cell_id: str) -> list[str]:
    place, new, _ = records_of.folders_of(layout, cell_id)
    return [out.unit(each) for each in ((place, new) if cell_id in job.anew else (place,))]


def _rests_on(work: Work) -> list[str]:
    if isinstance(work, TrainWork):
        return [cell.id for cell in work.cell.requires]
    if isinstance(work, ScoresWork):
        return [work.cell.id]
    return [work.prior_source.id] if isinstance(work, FeaturesWork) and work.prior_source is not None else []


def _weights(name: str) -> bool:
    return records(name) or name == "checkpoint/final.safetensors"


def _reads(work: Work) -> tuple[list[PreparedSet], list[FeatureSet]]:
    """The prepared sets and prior vectors that a job reads, each once."""
    if isinstance(work, ShardsWork):
        return [work.stored], []
    if isinstance(work, FeaturesWork):
        return [work.features.samples.stored], [*work.features.parents, work.features]
    if isinstance(work, TogetherWork):
        read = [_reads(each) for each in work.of]
        return _once(each for sets, _ in read for each in sets), _once(each for _, rows in read for each in rows)
    if isinstance(work, TrainWork):
        cell = work.cell
        wanted = [cell.train_features(stage) for stage in range(len(cell.recipe.parts))]
        return [cell.train_samples.stored], _once(wanted)
    if isinstance(work, ScoresWork):
        work = work.of
    return _once(test.stored for test in work.tests), _once(work.cell.test_features(test) for test in work.tests)


def _once(found: Iterable[T | None]) -> list[T]:
    """Each of some parts' content once, without None."""
    kept: list[T] = []
    for each in found:
        if each is not None and each not in kept:
            kept.append(each)
    return kept


def _bring_data(work: Work, data: Path) -> None:
    sets, vectors = _reads(work)
    for stored in sets:
        data_of.bring_set(stored, data)
    for features in vectors:
        data_of.bring_features(features, data)
    if isinstance(work, ShardsWork):
        data_of.bring_parts(work.stored, data)
    if not isinstance(work, FeaturesWork):
        data_of.bring_prints(data)


def _send_data(work: Work, data: Path) -> None:
    """Sends what a job made, and notes of damage in what it read, so that it is made again."""
    if isinstance(work, ShardsWork):
        if work.part is None:
            data_of.send_set(work.stored, data)
        data_of.send_parts(work.stored, data)
    else:
        made = [work.features] if isinstance(work, FeaturesWork) else []
        damaged = [each for each in _reads(work)[1] if noted_damage(each.folder(data))]
        for features in _once([*made, *damaged]):
            data_of.send_features(features, data)
    if not isinstance(work, FeaturesWork):
        data_of.send_prints(data)


def _allowed(job: Job, layout: Layout) -> Callable[[], None]:
    """Raises Superseded when the store's file of the job names another try than this one."""
    out, file = copy_at(layout.out), layout.job_file(job.id)
    assert out is not None

    def check() -> None:
        try:
            now = json.loads(out.store.read(out.unit(file)) or b"{}").get("attempt", "")
        except (ValueError, AttributeError):
            return
        if job.attempt and now not in ("", job.attempt):
            what, hint = "this try of the job was given up, and another one has begun: it stops here", "nothing"
            raise Superseded(what, where=f"{out.url}/{out.unit(file)}", hint=hint, kind="worker_lost")

    return check


def _send_log(path: Path) -> None:
    try:
        send_file(path)
    except HarnessError as error:  # it costs no result
        log.warning("the log is not on the store: %s", error)


def _mark(job: Job, layout: Layout) -> Path:
    """A file of this machine that says for which try of the job all has been brought."""
    copy = copy_at(layout.out) or copy_at(layout.data)
    assert copy is not None
    return copy.root / "ready" / job.id


def _tell_ready(job: Job, layout: Layout) -> None:
    write_text(_mark(job, layout), job.attempt)


def _await_ready(job: Job, layout: Layout) -> None:
    until = time.monotonic() + LONGEST_WAIT
    mark = _mark(job, layout)
    while time.monotonic() < until:
        try:
            if mark.read_text(encoding="utf-8") == job.attempt:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise HarnessError("nobody brought what the job reads", where=str(mark), kind="worker_lost")
