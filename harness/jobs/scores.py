"""The job that scores one part of the images of one test set, for the evaluation of its cell to take over.

It writes nothing of its cell: many parts run at once, and the evaluation, which comes after them, scores whatever they
did not leave. So nothing of a part that cannot be had is an error: the evaluation meets it, and says so.
"""

from __future__ import annotations

import logging
import time

from harness.api.score_parts import images_in
from harness.core.errors import HarnessError
from harness.core.guests import FAILURES
from harness.jobs.classify import message
from harness.jobs.context import Context
from harness.jobs.evaluate import Restorer, asked_of, opened_for
from harness.jobs.evaluated import Evaluated, Pass, passes
from harness.jobs.inputs import scorable
from harness.jobs.leaks import audit_test
from harness.jobs.parts import made_by, strips_of
from harness.jobs.scoring import Scoring
from harness.planning.job import Job, ScoresWork
from harness.records.images import ImageRow
from harness.records.scores import PartScores, load_scores, save_scores
from harness.storage.plain import bring_file, send_file

log = logging.getLogger(__name__)


def run(job: Job, context: Context) -> None:
    """Scores the part unless its values are there; leaves those of every image that could be scored.

    Raises HarnessError (kind `storage`) when they cannot be written.
    """
    work = job.work
    assert isinstance(work, ScoresWork), work.kind
    own = job.model_copy(update={"work": work.of})
    evaluated = Evaluated.open(own, context)
    for each in passes(own, evaluated.evaluations, context.registry):
        try:
            _score(job, work, each, Restorer(own, evaluated), evaluated)
        except HarnessError as error:
            if error.kind in ("storage", "worker_lost"):
                raise
            log.warning("left to the evaluation: %s", message(error))


def _score(job: Job, work: ScoresWork, each: Pass, restorer: Restorer, evaluated: Evaluated) -> None:
    began, context = time.perf_counter(), evaluated.context
    restorer.check()
    inputs = opened_for(each, restorer, evaluated)
    asked, _ = asked_of(each, inputs, evaluated)
    first = strips_of(job, work.cell)
    places = images_in(work.part, work.parts, first, len(scorable(inputs.opened)))
    audit = audit_test(work.cell, each.samples.dataset, each.samples.split, context)
    if not asked or not places or (audit.leak is not None and not job.allow_overlap):
        return
    path, made = (
        context.layout.job_scores(job.id),
        made_by(evaluated, inputs, asked, work.part, work.parts, first=first),
    )
    bring_file(path)
    if load_scores(path, made) is not None:
        log.info("the values of these %d images are there", len(places))
        return
    rows: list[ImageRow] = []
    try:
        of, beside = restorer.of(inputs), restorer.beside(inputs)
        scoring = Scoring.begin(work.cell, inputs, asked, of, context.registry, each.title, beside)
        for found in scoring.part(places):
            rows += found
    except FAILURES as error:
        log.warning("left to the evaluation: %s", message(error), exc_info=error)
    save_scores(path, made, PartScores(rows, time.perf_counter() - began))
    send_file(path)
