"""The job that trains one cell: prepared data and cached prior vectors in, final weights and a record out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from harness.api.declaration import declaration
from harness.api.loss import Reads
from harness.api.prior import Prior
from harness.cells.cell import RULES, Cell
from harness.cells.patches import sides_of
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.memory import memory_told
from harness.core.paths import Layout
from harness.data.index import Member, Side
from harness.data.samples import OpenSamples, open_samples
from harness.jobs.context import Context
from harness.jobs.features import check_steady
from harness.jobs.inputs import Inputs, with_features
from harness.jobs.leaks import refuse_leaks
from harness.jobs.made_of import MadeOf, rests_on
from harness.jobs.prior_saw import prior_saw
from harness.jobs.provenance import provenance
from harness.models.assemble import RestorationModel, build_model, start_from_base
from harness.models.fits import Seen, check_images
from harness.models.priors import build_prior, dim_of, encode_exact, width_of
from harness.models.weights import load_weights, save_tensors
from harness.planning.job import Job, TrainWork
from harness.recipes.presets import recipe_use
from harness.records import store
from harness.records.model import Leg, RunRecord, Training
from harness.training.checkpoint import drop_checkpoints
from harness.training.data import TrainLoader
from harness.training.engines.base import Engine
from harness.training.engines.choose import start_engine
from harness.training.journal import Journal
from harness.training.loop import Place, Progress, train
from harness.training.stages import micro_batch_of
from harness.weights.catalogue import find

log = logging.getLogger(__name__)

_ROOM = "a smaller batch or patch in the recipe, a machine with more memory, or fewer jobs side by side"


def run(job: Job, context: Context) -> None:
    """Trains the cell, from its newest checkpoint if there is one; nothing to do when weights and record are there.

    Leaves `checkpoint/final.safetensors` and a record with status `trained`. Raises HarnessError and its kinds,
    DataError when all the test sets that its job names have pictures among the training images.
    """
    assert isinstance(job.work, TrainWork), job.work.kind
    cell = job.work.cell
    if cell.rules != RULES:
        what = "this cell was planned by an earlier release, which drew weights and random numbers in another way"
        raise HarnessError(what, where=f"cell {cell.id}", hint="plan it again: bench run SUITE")
    if job.processes != context.seat.ranks:
        what = f"the job is for {job.processes} processes, and {context.seat.ranks} began it"
        raise HarnessError(what, where=f"cell {cell.id}", hint="bench run SUITE, or python -m harness.jobs JOB_FILE")
    with closing(start_engine(cell, job.run, context.seat)) as engine:
        first = engine.rank == 0
        # One process looks, as another one may see a shared disk a moment later.
        if engine.spread(_is_trained(cell, context) if first else None):
            log.info("cell %s is trained already", cell.id)
        elif cell.ready_made:
            if first:
                _take_over(job, cell, context)
        else:
            _train(job, cell, context, engine)


def _train(job: Job, cell: Cell, context: Context, engine: Engine) -> None:
    """One process's part of the training; rank 0 writes what comes of it."""
    assert isinstance(job.work, TrainWork), job.work.kind
    _check_halved(cell, engine.ranks, job.halved)
    refuse_leaks(cell, job.work.tests, context, allowed=job.allow_overlap)
    inputs = _inputs(cell, context)
    made_of = rests_on(cell, inputs, context)
    prior = _live_prior(cell, context, engine.device)
    model = _build(cell, context, inputs[-1], prior)
    check_images(cell, model, _seen(inputs[-1].opened))
    _check_pairs(cell, model, inputs[-1].opened, context)
    if prior is not None:
        _check_prior(cell, prior, inputs[0].opened, engine.device)
    first, counts = engine.rank == 0, model.parameter_counts()
    journal = Journal(context.layout, cell.id, job.id, job.kind, writes=first)
    ranks = {"rank": engine.rank, "world": engine.ranks}
    with memory_told(f"batches of {_sizes(cell)} were trained on", where=f"cell {cell.id}", hint=_ROOM):
        progress, weights = train(
            cell,
            model,
            lambda stage, position, reads: _loader(cell, stage, inputs[stage], position, reads, **ranks),
            engine,
            Place(job.run, context.layout, journal, made_of.data | made_of.weights, job.halved),
            registry=context.registry,
            encode_live=partial(encode_exact, prior, dim=width_of(prior)) if prior else None,
        )
    if first:
        _finish(job, cell, weights, counts, progress, made_of, context)
        journal.write("end", step=progress.step, steps=cell.recipe.steps, loss=progress.final_loss)


def _check_halved(cell: Cell, processes: int, halved: int) -> None:
    """Raises HarnessError (kind `memory`) when a micro-batch cannot be halved once more: it is one image already."""
    sizes = [[micro_batch_of(part, processes, times) for part in cell.recipe.parts] for times in range(halved + 1)]
    if halved and sizes[-1] == sizes[-2]:
        what = "memory ran out, and a process trains on one image at a time already"
        raise HarnessError(what, where=f"cell {cell.id}", hint=_ROOM, kind="memory")


def _take_over(job: Job, cell: Cell, context: Context) -> None:
    """Makes the cell from published weights, without training."""
    assert cell.backbone is not None
    assert cell.backbone.weights is not None
    model = build_model(cell, context.registry, None)
    load_weights(model.backbone, find(cell.backbone.weights).path, sha256=cell.backbone.digest, kind="weights")
    made_of = rests_on(cell, (), context)
    _finish(job, cell, model.state_dict(), model.parameter_counts(), Progress(), made_of, context)


def _is_trained(cell: Cell, context: Context) -> bool:
    """Whether the final weights are there and are those that the record names."""
    record = context.record(cell.id)
    final = context.layout.final_weights(cell.id)
    if record is None or record.training is None or not final.is_file():
        return False
    return file_sha256(final) == record.training.checkpoint_sha256


def _live_prior(cell: Cell, context: Context, device: torch.device) -> Prior | None:
    """The prior itself, under the feature policy `live`."""
    ref = cell.variant.prior
    if ref is None or cell.variant.features != "live":
        return None
    prior = build_prior(ref, context.registry, prior_source=cell.prior_source, layout=context.layout)
    if prior.traits.derived:
        raise HarnessError(f"prior {ref.name!r} is derived from cached vectors", hint="use features: image")
    encoder = cast(Prior, prior)
    return encoder.to(device) if isinstance(encoder, nn.Module) else encoder


def _check_prior(cell: Cell, prior: Prior, opened: OpenSamples, device: torch.device) -> None:
    """Raises HarnessError when the prior gives a part of a training image two vectors."""
    rows = np.flatnonzero(opened.has_lq)
    if len(rows):
        height, width = sides_of(cell.recipe.parts[0].patch) or (None, None)
        check_steady(prior, opened.picture(int(rows[0]))[:height, :width], device)


def _build(cell: Cell, context: Context, inputs: Inputs, prior: Prior | None) -> RestorationModel:
    """The cell's network, from its base cell's weights in the regimes that start there."""
    dim = inputs.features.prior_dim if inputs.features else None
    if prior is not None and cell.variant.prior is not None:
        dim = dim_of(prior, cell.variant.prior, context.registry)
    model = build_model(cell, context.registry, dim)
    if cell.variant.regime != "joint":
        start_from_base(model, _base_checkpoint(cell, context.layout))
    return model


def _base_checkpoint(cell: Cell, layout: Layout) -> Path:
    if cell.base is None:
        raise HarnessError(f"regime {cell.variant.regime!r} needs a base cell", where=f"cell {cell.id}")
    return layout.final_weights(cell.base.id)


def _inputs(cell: Cell, context: Context) -> list[Inputs]:
    """For every stage of the recipe the samples, opened once for all, with that stage's prior rows."""
    data = context.layout.data
    opened = open_samples(cell.train_samples, context.registry, data)
    found: list[Inputs] = []
    for stage in range(len(cell.recipe.parts)):
        wanted = cell.train_features(stage)
        known = next((each for each in found if each.wanted == wanted), None)
        found.append(known or with_features(opened, wanted, data))
    return found


def _seen(opened: OpenSamples) -> Seen:
    """The kinds and sizes of the training images, for a look whether the network takes them."""
    index, shown = opened.index, opened.has_lq
    sizes = np.unique(np.stack([index.heights[shown], index.widths[shown]], axis=1), axis=0)
    return Seen(
        where=opened.where,
        degraded=_channels(opened, "lq" if opened.noise is None else "gt", shown),
        clean=_channels(opened, "gt", opened.has_gt),
        sizes=tuple((height, width) for height, width in sizes.tolist()),
    )


def _channels(opened: OpenSamples, side: Side, rows: np.ndarray) -> tuple[int, ...]:
    return tuple(np.unique(opened.index.places[side].numbers[rows, Member._fields.index("channels")]).tolist())


def _check_pairs(cell: Cell, model: RestorationModel, opened: OpenSamples, context: Context) -> None:
    """Raises DataError when something reads pairs and there is none, before any stage is trained."""
    if (opened.has_lq & opened.has_gt).any():
        return
    names = [term.part.name for term in cell.loss_terms]
    reading = [name for name in names if declaration(context.registry, "loss", name).traits.reads == "pair"]
    who = f"the loss {reading[0]} reads" if reading else "the network sees the truth in"
    if reading or model.reads_truth:
        hint = "a data set that brings pairs, or losses that read unpaired images"
        raise DataError(f"{who} pairs, and no image here has both forms", where=opened.where, hint=hint)


def _sizes(cell: Cell) -> str:
    """What a training has in memory at once, in words."""
    told = []
    for part in cell.recipe.parts:
        sides = sides_of(part.patch)
        seen = "whole images" if sides is None else f"crops of {sides[0]}×{sides[1]} pixels"
        told.append(f"{part.batch} {seen}")
    return " and ".join(told)


def _loader(
    cell: Cell, stage: int, inputs: Inputs, position: int, reads: Collection[Reads], *, rank: int, world: int
) -> TrainLoader:
    return TrainLoader(
        inputs.opened,
        inputs.features,
        cell.recipe,
        stage,
        seed=cell.seed,
        rank=rank,
        world=world,
        position=position,
        reads=reads,
    )


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
