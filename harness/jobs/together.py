"""The job that trains several cells behind one pass of the frozen backbone that they share, as far as it comes.

It writes their checkpoints and loss curves, and nothing else of theirs: the train job of each cell, which comes after
it, finds the checkpoint of the last step and finishes, or goes on from whatever is there. So nothing that keeps one of
the cells from being trained here is an error: its train job meets it, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from harness.cells.cell import Cell
from harness.core.fence import fenced
from harness.core.paths import Layout, write_text
from harness.jobs.classify import message
from harness.jobs.context import Context
from harness.jobs.ready import check_rules, is_trained, make_ready, open_loader
from harness.planning.job import Job, TogetherWork, TrainWork
from harness.training.device import forget_accelerator
from harness.training.engines.choose import start_engine
from harness.training.loop import Training
from harness.training.one_pass import OnePass
from harness.training.shared_data import Streams
from harness.training.together import Share, Together

log = logging.getLogger(__name__)


def run(job: Job, context: Context) -> None:
    """Trains the cells that are not trained yet, from their newest checkpoints, to a checkpoint of their last step.

    Nothing to do for less than two. Raises HarnessError of the kinds that all of them would meet
    (harness.training.together.FATAL).
    """
    assert isinstance(job.work, TogetherWork), job.work.kind
    own = [job.model_copy(update={"work": each, "labels": None, "tests": ()}) for each in job.work.of]
    own = [each for each in own if not is_trained(_cell(each), context)]
    if len(own) < 2:
        return
    tries = _begin_tries(own, context.layout)
    # All of them for every write: a cell that has gone on in another job may be in one that trains others of these.
    every = ((context.layout.job_attempt(job.id), job.attempt), *tries.values())
    one_pass = OnePass()
    streams, together = Streams(one_pass), Together(one_pass, _dropped, lambda cell_id: fenced(*tries[cell_id], *every))
    with _engines(), fenced(*every[0], *every[1:]):
        for each in own:
            together.add(_cell(each).id, partial(_training, each, context, streams))
        if len(together) > 1:
            together.train()
            log.info("%d passes of the backbone, and %d that were taken over", one_pass.computed, one_pass.taken_over)


def _training(own: Job, context: Context, streams: Streams, clock: Share) -> Training:
    """One cell's, before its first step. `own`: its train job."""
    cell = _cell(own)
    check_rules(cell)
    engine = start_engine(cell, own.run, context.seat)
    ready = make_ready(own, context, engine)
    rows = [each.features for each in ready.inputs]
    streams.add(cell.id, partial(open_loader, cell, ready.inputs, context.seat), rows)
    return Training(
        cell,
        ready.model,
        partial(streams.open, cell.id),
        engine,
        replace(ready.place, keeps_last=True),
        context.registry,
        ready.encode_live,
        clock,
    )


def _begin_tries(own: Sequence[Job], layout: Layout) -> dict[str, tuple[Path, str]]:
    """Makes this job the only try of the cells' own jobs that may write: of each cell the file and the token of that.

    Where its cells go on in another job of whatever kind, this one then stops by itself.
    """
    tries = {_cell(each).id: (layout.job_attempt(each.id), uuid4().hex) for each in own}
    for file, token in tries.values():
        write_text(file, token)
    return tries


def _cell(own: Job) -> Cell:
    assert isinstance(own.work, TrainWork), own.work.kind
    return own.work.cell


def _dropped(cell_id: str, error: BaseException) -> None:
    log.warning("cell %s is left to its own job: %s", cell_id, message(error), exc_info=error)


@contextmanager
def _engines() -> Iterator[None]:
    """Inside, engines are begun one after the other, and none is closed: Accelerate's state is the process's."""
    try:
        yield
    finally:
        forget_accelerator()
