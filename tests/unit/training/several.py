"""Some optimizer steps of a cell on random images in one of several processes, for tests that compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from harness.api.batch import Batch
from harness.api.running import Seat
from harness.cells.cell import Cell
from harness.cells.suite import Run
from harness.models.assemble import RestorationModel, build_model
from harness.models.boundary import as_written
from harness.parts.catalogue import REGISTRY
from harness.training import tryout
from harness.training.compiled import Graphs, Made
from harness.training.compiler import compiler
from harness.training.engines.choose import start_engine
from harness.training.stages import Part, spans

SIDE = 64


def trained(rank: int, ranks: int, cells: dict[str, str], steps: int, halved: int = 0) -> dict[str, dict[str, Any]]:
    """What each cell's network has become after some steps of every stage, and the loss of every step.

    `cells`: JSON by name. All processes see shares of the same batches.
    """
    return {name: _train(Cell.model_validate_json(text), rank, ranks, steps, halved) for name, text in cells.items()}


def trained_as_graphs(rank: int, ranks: int, cells: dict[str, str], steps: int, folder: Path) -> dict[str, Any]:
    """As `trained`, as graphs without Inductor; `parts` says of each part whether it was one."""
    tryout.BACKEND = "aot_eager"
    found = {}
    with compiler(folder, 1):
        for name, text in cells.items():
            made = Made()
            found[name] = _train(Cell.model_validate_json(text), rank, ranks, steps, 0, made) | {"parts": made.parts}
    return found


def _train(cell: Cell, rank: int, ranks: int, steps: int, halved: int, made: Made | None = None) -> dict[str, Any]:
    engine = start_engine(cell, Run(gpus=0), Seat(rank, ranks, rank, ranks))
    prior = cell.variant.prior
    dim = None if prior is None else REGISTRY.load("prior", prior.name)(**prior.arguments).dim
    model = build_model(cell, REGISTRY, dim).train()
    trainable = {name for name, each in model.named_parameters() if each.requires_grad}
    part: Part | None = None
    step, losses = 0, []
    for span in spans(cell):
        part = Part.after(part, span, cell, model, trainable, REGISTRY, engine)
        told = {"gives_truth": model.reads_truth, "tells_settings": bool(model.told)}
        graphs = None if made is None else Graphs(part.passes, engine.device, made, faster=False)
        part.passes.compute(as_written if graphs is None else graphs.how)
        stepper = part.stepper(cell, None, halved=halved, graphs=graphs, **told)
        for _ in range(steps):
            step += 1
            engine.set_learning_rate(span.peak)
            batch = _share(_batch(span.batch, dim, model, step), rank, ranks)
            losses.append(float(engine.mean(stepper(batch, step))))
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    adversaries = [] if part is None else part.passes.objective.adversaries.state()
    engine.close()
    return {"losses": losses, "state": state, "adversaries": [each["loss"] for each in adversaries]}


def _batch(images: int, dim: int | None, model: RestorationModel, step: int) -> Batch:
    """Smooth pictures, noisy and half as bright; the same in every process."""
    random = torch.Generator().manual_seed(step)
    channels = model.capabilities.channels_in, model.capabilities.channels_out
    coarse = torch.rand(2, images, max(channels), 8, 8, generator=random).flatten(0, 1)
    gt, clean = functional.interpolate(coarse, size=SIDE, mode="bilinear").unflatten(0, (2, images))
    lq = (gt[:, : channels[0]] / 2 + 0.05 * torch.randn(gt[:, : channels[0]].shape, generator=random)).clamp(0, 1)
    rows = None if dim is None else functional.normalize(torch.randn(images, dim, generator=random), dim=1)
    return Batch(lq, gt[:, : channels[1]], rows, [str(number) for number in range(images)], clean[:, : channels[1]])


def _share(batch: Batch, rank: int, ranks: int) -> Batch:
    size = len(batch.keys) // ranks
    own = slice(rank * size, (rank + 1) * size)
    assert batch.gt_BCHW is not None
    assert batch.clean_BCHW is not None
    prior = None if batch.prior_BD is None else batch.prior_BD[own]
    return Batch(batch.lq_BCHW[own], batch.gt_BCHW[own], prior, batch.keys[own], batch.clean_BCHW[own])
