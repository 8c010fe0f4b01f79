"""The job that scores one cell on its test sets: checkpoint and shards in, one number per image and metric out."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from harness.api.degradation import VaryingDegradation
from harness.api.task import Sides
from harness.cells.cell import Cell
from harness.core.errors import DataError, FailureClass, HarnessError
from harness.core.guests import FAILURES
from harness.data.samples import OpenSamples
from harness.evaluation.batches import Batches, room_for
from harness.evaluation.infer import restore, restore_together
from harness.evaluation.prepared import RGB
from harness.evaluation.samples import shown, write_strip
from harness.jobs.context import Context
from harness.jobs.evaluated import Evaluated, Pass, lacking, passes
from harness.jobs.inputs import Inputs, not_pairs, open_inputs, refuse_mix
from harness.jobs.leaks import audit_test
from harness.jobs.overlap import Beside
from harness.jobs.parts import Left, left_by_parts, strips_of
from harness.jobs.scoring import Evaluation, Restore, Scored, Scoring, Trouble, trouble_of
from harness.models.assemble import RestorationModel, build_model
from harness.models.weights import load_weights
from harness.planning.job import EvaluateWork, Job
from harness.records import store
from harness.records.job_failures import read_failure
from harness.training.journal import Journal

log = logging.getLogger(__name__)

VIEWS = 2 * RGB
"""Channels of an image of two views."""
_RESTORING = "restoring"
"""The event of a test set that is begun."""


def run(job: Job, context: Context) -> None:
    """Scores what the record does not have yet, and keeps the rest of it; every test set is saved when it is done.

    What cannot be had (a metric of some image; a test set that is not there, damaged, or among the training images) is
    left out of the record with the reason; all else is scored and saved, and then DataError is raised that names what
    was left out. A metric that refused an image is not asked again as long as images, weights and metric are the same.
    A cell without a backbone is the degraded input, as the networks get it (`_unchanged`). Raises HarnessError and its
    kinds at once, `checkpoint` when the cell is not trained or its weights are not those of the record.
    """
    work = job.work
    assert isinstance(work, EvaluateWork), work.kind
    evaluated = Evaluated.open(job, context)
    todo, record = passes(job, evaluated.evaluations, context.registry), evaluated.record
    if not todo and record is not None and record.status == "done":
        return
    restorer = Restorer(job, evaluated)
    if todo:
        restorer.check()
    journal = Journal(context.layout, work.cell.id, job.id, job.kind)
    _tell(journal, "start")
    troubles: list[Trouble] = []
    for each in _hard_last(todo, job, context):
        _tell(journal, _RESTORING, evaluations=[evaluation.id for evaluation in each.evaluations])
        troubles += _evaluate(each, restorer, evaluated)
    evaluated.save("done")
    if troubles:
        raise _left_out(troubles)
    _tell(journal, "end")


class Restorer:
    """The trained network as a function of an image; for the cell `input`, the identity. Built when it is needed."""

    def __init__(self, job: Job, evaluated: Evaluated) -> None:
        assert isinstance(job.work, EvaluateWork), job.work.kind
        self.job, self.cell, self._evaluated = job, job.work.cell, evaluated
        self._model: RestorationModel | None = None

    def check(self) -> None:
        """Raises HarnessError (kind `checkpoint`) when the cell is not trained."""
        record = self._evaluated.record
        if self.cell.backbone is not None and (record is None or record.training is None):
            where = f"cell {self.cell.id}"
            raise HarnessError("this cell is not trained", where=where, hint="bench run …", kind="checkpoint")

    def of(self, inputs: Inputs) -> Restore:
        """The function for one test set. Raises HarnessError and its kinds when the network cannot be built or loaded.

        A network that is told settings of the degradation, such as the noise level, gets those of the test set.
        """
        if self.cell.backbone is None:
            return _unchanged
        model, told, device = self._network(inputs), settings_of(inputs.opened), self._device
        return lambda lq, prior, truth, through: restore(model, lq, prior, device, truth, told, through)

    def beside(self, inputs: Inputs) -> Beside | None:
        """What overlaps restoring a test set on a GPU; None on a CPU, which would do the same work with more threads
        than the job has been given, and for the cell `input`. Raises as `of`."""
        if self.cell.backbone is None or self._device.type != "cuda":
            return None
        model, told, device = self._network(inputs), settings_of(inputs.opened), self._device
        batches = Batches(
            lambda images, through: restore_together(model, images, device, told, through),
            room_for(model, device),
        )
        return Beside(device, batches, self.job.run.cpus)

    def _network(self, inputs: Inputs) -> RestorationModel:
        self._model = self._model or self._build(inputs)
        return self._model

    @property
    def _device(self) -> torch.device:
        return torch.device("cuda" if self.job.run.gpus != 0 and torch.cuda.is_available() else "cpu")

    def _build(self, inputs: Inputs) -> RestorationModel:
        self.check()
        record, context = self._evaluated.record, self._evaluated.context
        assert record is not None
        assert record.training is not None
        model = build_model(self.cell, context.registry, inputs.features.prior_dim if inputs.features else None)
        final = context.layout.final_weights(self.cell.id)
        load_weights(model, final, sha256=record.training.checkpoint_sha256)
        model.to(self._device).eval()
        return model


def _unchanged(lq: np.ndarray, prior: np.ndarray | None, truth: np.ndarray | None, through: Sides | None) -> np.ndarray:
    """The degraded image itself, in the truth's colours: of two views, of six channels, the left one; gray as gray.

    No network sees it, and so it is not resized for one.
    """
    channels = lq.shape[2] if truth is None else truth.shape[2]
    return lq if channels == 1 else shown(lq)


def _about_input(cell: Cell, opened: OpenSamples, title: str) -> tuple[str, ...]:
    """What readers should know of the scores of the cell `input` on images of two views."""
    two = cell.backbone is None and any(row.lq is not None and row.lq.channels == VIEWS for row in opened.index)
    return (f"{title}: the input is shown and scored by its left view",) if two else ()


def settings_of(opened: OpenSamples) -> dict[str, float]:
    """The values of the options of drawn noise that may vary, as {"sigma": 25.0}: in tests each has a single one."""
    noise = opened.noise
    if noise is None or not noise.traits.varies:
        return {}
    return cast(VaryingDegradation, noise).settings(np.random.default_rng(0))  # single values take no random number


def _evaluate(each: Pass, restorer: Restorer, evaluated: Evaluated) -> list[Trouble]:
    """Scores one test set and saves it. Gives why something of it is left out."""
    began = time.perf_counter()
    context, cell = evaluated.context, restorer.cell
    try:
        inputs = opened_for(each, restorer, evaluated)
        told = (*not_pairs(inputs.opened, each.title), *_about_input(cell, inputs.opened, each.title))
    except HarnessError as error:
        why = _unprepared(each, context) or trouble_of(error, f"test set {each.title}")
        found = {evaluation.id: _without(evaluation, why) for evaluation in each.evaluations}
        return evaluated.add(each, found, None, time.perf_counter() - began)
    asked, refused = asked_of(each, inputs, evaluated)
    left = left_by_parts(each, evaluated, inputs, asked, strips_of(restorer.job, cell))
    found, warnings = _scored(each, asked, inputs, restorer, context, left) if asked else ({}, ())
    for evaluation in each.evaluations:
        scored = found.setdefault(evaluation.id, Scored())
        scored.left_out |= refused[evaluation.id]
    seconds = left.seconds + time.perf_counter() - began
    troubles = evaluated.add(each, found, inputs, seconds, (*warnings, *told))
    left.remove()
    return troubles


def opened_for(each: Pass, restorer: Restorer, evaluated: Evaluated) -> Inputs:
    """The images of a test set, with their prior rows. Raises HarnessError and its kinds when they cannot be had."""
    context = evaluated.context
    wanted = restorer.cell.test_features(each.samples)
    inputs = open_inputs(each.samples, wanted, context.registry, context.layout.data)
    inputs.opened.check_noise()
    refuse_mix(inputs, evaluated.record)
    return inputs


def asked_of(
    each: Pass, inputs: Inputs, evaluated: Evaluated
) -> tuple[list[Evaluation], dict[str, dict[str, Trouble]]]:
    """What is to be scored of a test set, and by the evaluation's id which metrics would refuse its images again."""
    refused = {evaluation.id: evaluated.refused_before(evaluation, inputs) for evaluation in each.evaluations}
    asked = [_asked(evaluation, refused[evaluation.id]) for evaluation in each.evaluations]
    return [evaluation for evaluation in asked if lacking(evaluation)], refused


def _scored(
    each: Pass, asked: Sequence[Evaluation], inputs: Inputs, restorer: Restorer, context: Context, left: Left
) -> tuple[dict[str, Scored], Sequence[str]]:
    """What came of the evaluations of one test set, by id, and warnings about the set."""
    cell, samples = restorer.cell, each.samples
    audit = audit_test(cell, samples.dataset, samples.split, context)
    for warning in audit.warnings:
        log.warning("%s", warning)
    if audit.leak is not None and not restorer.job.allow_overlap:
        leak = trouble_of(audit.leak)
        return {each.id: Scored(left_out=dict.fromkeys(_all_of(each), leak)) for each in asked}, audit.warnings
    restore_image, folder = restorer.of(inputs), context.layout.samples(cell.id)
    strips = strips_of(restorer.job, cell)
    try:
        beside = restorer.beside(inputs)
        scoring = Scoring.begin(cell, inputs, asked, restore_image, context.registry, each.title, beside)
        found = scoring.score(
            strips=strips, write=lambda name, shown: write_strip(folder / name, shown), ready=left.rows
        )
    except FAILURES as error:
        log.exception("test set %s is left out", each.title)
        why = trouble_of(error)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        found = {evaluation.id: _without(evaluation, why) for evaluation in asked}
    for scored in found.values():
        scored.overlap = "" if audit.leak is None else audit.leak.what
    return found, audit.warnings


def _asked(evaluation: Evaluation, refused: dict[str, Trouble]) -> Evaluation:
    """The evaluation without the metrics that would refuse again."""
    return replace(evaluation, metrics={key: part for key, part in evaluation.metrics.items() if key not in refused})


def _all_of(evaluation: Evaluation) -> list[str]:
    """What an evaluation is to have and what it has already: none of it is worth anything on leaked images."""
    return [*evaluation.metrics, *(evaluation.before.metrics if evaluation.before else ())]


def _without(evaluation: Evaluation, why: Trouble) -> Scored:
    """An evaluation of which nothing could be had now: what is on record stays."""
    return Scored(left_out=dict.fromkeys(lacking(evaluation), why))


def _unprepared(each: Pass, context: Context) -> Trouble | None:
    """Why a job that should have prepared the test set failed; None when none did."""
    for job in each.jobs:
        failure = read_failure(context.layout, job)
        if failure is not None:
            said = " · try: ".join(" ".join(part.split()) for part in failure.message.split("\n  try: "))
            return Trouble(f"test set {each.title}: {said}", failure.kind)
    return None


def _hard_last(todo: Sequence[Pass], job: Job, context: Context) -> list[Pass]:
    """The test sets, those last that an earlier attempt began and did not end.

    A worker that is killed for its memory says nothing more: the others shall be on record before it is tried again.
    """
    events = store.read_events(context.layout, str(job.cell_id))
    begun = [event.get("evaluations") for event in events if event.get("event") == _RESTORING]
    ids = {name for names in begun if isinstance(names, list) for name in names if isinstance(name, str)}
    return sorted(todo, key=lambda each: any(evaluation.id in ids for evaluation in each.evaluations))


def _tell(journal: Journal, event: str, **fields: object) -> None:
    """An event that cannot be written costs no score."""
    try:
        journal.write(event, **fields)
    except HarnessError as error:
        log.warning("the event %r was not written: %s", event, error)


def _left_out(troubles: Sequence[Trouble]) -> HarnessError:
    """The error that names what is not on record; of the kind that all the reasons share, else `data`."""
    whys = dict.fromkeys(trouble.why for trouble in troubles)
    kinds: set[FailureClass] = {trouble.kind for trouble in troubles}
    kind = kinds.pop() if len(kinds) == 1 else "data"
    hint = "everything else is on record; leave out the test set, the protocol or the metric, or the image"
    return DataError(f"not scored: {'; '.join(whys)}", hint=hint, kind=kind)
