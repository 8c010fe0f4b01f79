"""The job that trains one cell: prepared data and cached prior vectors in, final weights and a record out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from functools import partial

from torch import Tensor

from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.memory import memory_told
from harness.jobs.context import Context
from harness.jobs.made_of import MadeOf, rests_on
from harness.jobs.prior_saw import prior_saw
from harness.jobs.provenance import provenance
from harness.jobs.ready import ROOM, check_rules, is_trained, make_ready, open_loader, sizes_told
from harness.models.assemble import build_model
from harness.models.weights import load_weights, save_tensors
from harness.planning.job import Job, TrainWork
from harness.recipes.presets import recipe_use
from harness.records import store
from harness.records.model import Compilation, Leg, RunRecord, Training
from harness.training.checkpoint import drop_checkpoints
from harness.training.engines.base import Engine
from harness.training.engines.choose import start_engine
from harness.training.loop import train
from harness.training.progress import Progress
from harness.weights.catalogue import find

log = logging.getLogger(__name__)


def run(job: Job, context: Context) -> None:
    """Trains the cell, from its newest checkpoint if there is one; nothing to do when weights and record are there.

    Leaves `checkpoint/final.safetensors` and a record with status `trained`. Raises HarnessError and its kinds,
    DataError when all the test sets that its job names have pictures among the training images.
    """
    assert isinstance(job.work, TrainWork), job.work.kind
    cell = job.work.cell
    check_rules(cell)
    if job.processes != context.seat.ranks:
        what = f"the job is for {job.processes} processes, and {context.seat.ranks} began it"
        raise HarnessError(what, where=f"cell {cell.id}", hint="bench run SUITE, or python -m harness.jobs JOB_FILE")
    with closing(start_engine(cell, job.run, context.seat)) as engine:
        first = engine.rank == 0
        # One process looks, as another one may see a shared disk a moment later.
        if engine.spread(is_trained(cell, context) if first else None):
            log.info("cell %s is trained already", cell.id)
        elif cell.ready_made:
            if first:
                _take_over(job, cell, context)
        else:
            _train(job, cell, context, engine)


def _train(job: Job, cell: Cell, context: Context, engine: Engine) -> None:
    """One process's part of the training; rank 0 writes what comes of it."""
    ready = make_ready(job, context, engine)
    first, counts = engine.rank == 0, ready.model.parameter_counts()
    with memory_told(f"batches of {sizes_told(cell)} were trained on", where=f"cell {cell.id}", hint=ROOM):
        progress, weights = train(
            cell,
            ready.model,
            partial(open_loader, cell, ready.inputs, context.seat),
            engine,
            ready.place,
            registry=context.registry,
            encode_live=ready.encode_live,
        )
    if first:
        _finish(job, cell, weights, counts, progress, ready.made_of, context)
        ready.place.journal.write("end", step=progress.step, steps=cell.recipe.steps, loss=progress.final_loss)


def _take_over(job: Job, cell: Cell, context: Context) -> None:
    """Makes the cell from published weights, without training."""
    assert cell.backbone is not None
    assert cell.backbone.weights is not None
    model = build_model(cell, context.registry, None)
    load_weights(model.backbone, find(cell.backbone.weights).path, sha256=cell.backbone.digest, kind="weights")
    made_of = rests_on(cell, (), context)
    _finish(job, cell, model.state_dict(), model.parameter_counts(), Progress(), made_of, context)


def _finish(
    job: Job,
    cell: Cell,
    weights: Mapping[str, Tensor],
    parameters: tuple[int, int],
    progress: Progress,
    made_of: MadeOf,
    context: Context,
) -> None:
    """Writes the weights, then the record, then removes the step folders.

    After a crash in between, no more than the last steps are trained again. `parameters`: of the backbone, and those
    that the refiner adds.
    """
    layout, old = context.layout, context.record(cell.id)
    sha256 = save_tensors(weights, layout.final_weights(cell.id))
    backbone, added = parameters
    training = Training(
        steps=progress.step,
        images=0 if cell.ready_made else cell.recipe.images,
        seconds=progress.seconds,
        final_loss=None if cell.ready_made else progress.final_loss,
        backbone_parameters=backbone,
        added_parameters=added,
        checkpoint_sha256=sha256,
        processes=progress.processes,
        legs=tuple(Leg(**leg) for leg in progress.legs),
        halved=job.halved,
        deterministic=job.run.deterministic,
        together=progress.together,
        compilation=Compilation(**progress.compilation) if progress.compilation else None,
        forms=progress.forms,
        recipe=recipe_use(cell, progress.processes, job.halved, takes_statistics=progress.takes_statistics),
        prior_saw=prior_saw(cell, context.registry),
    )
    record = RunRecord(
        cell_id=cell.id,
        status="trained",
        labels=job.labels.model_dump() if job.labels else {},
        cell=cell.model_dump(mode="json"),
        provenance=provenance(
            threads=job.run.cpus, data=made_of.data, weights=made_of.weights, skipped=made_of.skipped
        ),
        training=training,
        attempts=old.attempts if old else (),
    )
    store.save(layout, record)
    drop_checkpoints(layout.checkpoints(cell.id))
