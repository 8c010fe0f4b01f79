"""A training that is ready for its first step: the cell's network, and what it is trained with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from harness.api.declaration import declaration
from harness.api.loss import Reads
from harness.api.prior import Prior
from harness.api.running import Seat
from harness.cells.cell import RULES, Cell
from harness.cells.patches import sides_of
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.data.features import FeatureRows
from harness.data.index import Member, Side
from harness.data.samples import OpenSamples, open_samples
from harness.jobs.context import Context
from harness.jobs.features import check_steady
from harness.jobs.inputs import Inputs, with_features
from harness.jobs.leaks import refuse_leaks
from harness.jobs.made_of import MadeOf, rests_on
from harness.jobs.provenance import trains_on
from harness.models.assemble import RestorationModel, build_model, start_from_base
from harness.models.fits import Seen, check_images
from harness.models.priors import build_prior, dim_of, encode_exact, width_of
from harness.planning.job import Job, TrainWork
from harness.training.data import TrainLoader
from harness.training.engines.base import Engine
from harness.training.journal import Journal
from harness.training.loop import Place
from harness.training.stages import micro_batch_of
from harness.training.step import EncodeLive

ROOM = "a smaller batch or patch in the recipe, a machine with more memory, or fewer jobs side by side"
"""What to try where memory ran out."""


@dataclass(frozen=True)
class Ready:
    """What a training begins with, in one process."""

    model: RestorationModel
    inputs: list[Inputs]
    """By stage of the recipe."""
    made_of: MadeOf
    encode_live: EncodeLive | None
    place: Place


def open_loader(
    cell: Cell,
    inputs: Sequence[Inputs],
    seat: Seat,
    stage: int,
    position: int,
    reads: Collection[Reads],
    rows: Sequence[FeatureRows] | None = None,
) -> TrainLoader:
    """The training data of one process in a stage, from a position on, with the stage's prior rows, or with `rows`."""
    return TrainLoader(
        inputs[stage].opened,
        inputs[stage].features if rows is None else rows,
        cell.recipe,
        stage,
        seed=cell.seed,
        rank=seat.rank,
        world=seat.ranks,
        position=position,
        reads=reads,
    )


def make_ready(job: Job, context: Context, engine: Engine) -> Ready:
    """Opens, checks and builds what a train job's cell is trained with. Raises as harness.jobs.train.run."""
    assert isinstance(job.work, TrainWork), job.work.kind
    cell = job.work.cell
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
    journal = Journal(context.layout, cell.id, job.id, job.kind, writes=engine.rank == 0)
    return Ready(
        model,
        inputs,
        made_of,
        encode_live=partial(encode_exact, prior, dim=width_of(prior), waits=False) if prior else None,
        place=Place(job.run, context.layout, journal, made_of.data | made_of.weights, trains_on(), job.halved),
    )


def check_rules(cell: Cell) -> None:
    """Raises HarnessError for a cell that this release would train otherwise."""
    if cell.rules != RULES:
        what = "this cell was planned by an earlier release, which drew weights and random numbers in another way"
        raise HarnessError(what, where=f"cell {cell.id}", hint="plan it again: bench run SUITE")


def is_trained(cell: Cell, context: Context) -> bool:
    """Whether the final weights are there and are those that the record names."""
    record = context.record(cell.id)
    final = context.layout.final_weights(cell.id)
    if record is None or record.training is None or not final.is_file():
        return False
    return file_sha256(final) == record.training.checkpoint_sha256


def sizes_told(cell: Cell) -> str:
    """What a training has in memory at once, in words."""
    told = []
    for part in cell.recipe.parts:
        sides = sides_of(part.patch)
        seen = "whole images" if sides is None else f"crops of {sides[0]}×{sides[1]} pixels"
        told.append(f"{part.batch} {seen}")
    return " and ".join(told)


def _check_halved(cell: Cell, processes: int, halved: int) -> None:
    """Raises HarnessError (kind `memory`) when a micro-batch cannot be halved once more: it is one image already."""
    sizes = [[micro_batch_of(part, processes, times) for part in cell.recipe.parts] for times in range(halved + 1)]
    if halved and sizes[-1] == sizes[-2]:
        what = "memory ran out, and a process trains on one image at a time already"
        raise HarnessError(what, where=f"cell {cell.id}", hint=ROOM, kind="memory")


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
