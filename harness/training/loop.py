"""The training loop, the same for every backbone, refiner, regime and stage.

The memory layout is left to the networks: channels_last makes Restormer faster and NAFNet slower on a CPU, so a network
that gains converts itself and its input. Threads are the job's (harness.jobs.run).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from harness.api.loss import Reads
from harness.cells.cell import Cell
from harness.cells.suite import Run
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.models.assemble import RestorationModel
from harness.models.fits import check_fit
from harness.training.average import Average
from harness.training.checkpoint import (
    FoundCheckpoint,
    drop_checkpoints,
    find_checkpoint,
    load_model,
    random_state,
    set_random_state,
    write_checkpoint,
)
from harness.training.data import TrainLoader
from harness.training.journal import Journal, LossCurve, not_finite
from harness.training.optim import set_learning_rate
from harness.training.stages import Part, spans
from harness.training.step import EncodeLive

log = logging.getLogger(__name__)

OpenLoader = Callable[[int, int, Collection[Reads]], TrainLoader]
"""(stage, position, what the losses read) to the training data from that position of the sample stream on."""


@dataclass
class Progress:
    """How far training has come. `seconds`: in the loop, over all attempts."""

    step: int = 0
    position: int = 0
    """Samples seen, which is the position in the sample stream: a stage goes on where the one before it ended, so that
    no stage meets the order and the draws of another one again."""
    seconds: float = 0.0
    final_loss: float = math.nan
    processes: int = 1
    """Number of processes, over which every batch is divided."""
    pending: tuple[float, int] = (0.0, 0)
    """This rank's loss, summed over the steps since the last line of the loss curve, and the number of these steps."""


def train(
    cell: Cell,
    model: RestorationModel,
    open_loader: OpenLoader,
    accelerator: Accelerator,
    *,
    registry: Registry,
    run: Run,
    layout: Layout,
    journal: Journal,
    made_of: Mapping[str, str],
    encode_live: EncodeLive | None = None,
) -> Progress:
    """Trains `model` in place up to the recipe's last step, from the newest whole checkpoint if the cell has one.

    With `ema` the model has the average of its weights afterwards: that is what is saved, evaluated and started from.
    `made_of`: digests, by name, of the data and weights that the cell rests on; checkpoints that were trained from
    others are dropped, with a line in the journal.
    On a CPU an interrupted and resumed training equals an uninterrupted one bit for bit, loss curve included.
    Raises HarnessError: kind `suite` when the recipe does not fit the network (before the first step), `nan` when the
    loss or the weights stop being finite, `checkpoint` when every checkpoint is damaged, `storage` when one cannot be
    written.
    """
    recipe = cell.recipe
    check_fit(cell, model)
    model.to(accelerator.device).train()
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = _newest(cell, layout, journal, accelerator, made_of)
    average = Average(model, recipe.ema)
    if found is not None:
        load_model(found, model)
        average.load(found.state["average"])
    progress = Progress() if found is None else _progress(found, accelerator)
    progress.processes = accelerator.num_processes
    curve = LossCurve(journal, accelerator, pending=progress.pending)
    began = time.perf_counter() - progress.seconds
    part: Part | None = None
    for span in spans(cell):
        if span.last <= progress.step:
            continue
        part = Part.after(part, span, cell, model, trainable, registry, accelerator)
        if found is not None:
            part.load(found.state, found.step, accelerator)
            found = None
        known = {"gives_truth": model.reads_truth, "tells_settings": bool(model.told)}
        stepper = part.stepper(cell, accelerator, encode_live, **known)
        reads: frozenset[Reads] = part.objective.reads
        reads |= {"pair"} if stepper.gives_truth else set()
        loader = open_loader(span.number, progress.position, reads)
        if not recipe.alters_inputs:  # which is done on the host
            loader.to(accelerator.device)
        with closing(iter(loader)) as batches:
            for step, batch in zip(range(progress.step + 1, span.last + 1), batches, strict=False):
                lr = span.learning_rate(step)
                set_learning_rate(part.optimizer, lr)
                curve.add(stepper(batch, step, rate=lr / span.peak), images=span.batch)
                average.update()
                if step % run.log_every == 0 or step == recipe.steps:
                    progress.final_loss = curve.write(step, steps=recipe.steps, lr=lr)
                if step % run.checkpoint_every == 0 or step == recipe.steps:
                    progress.step, progress.position = step, loader.position
                    progress.seconds, progress.pending = time.perf_counter() - began, curve.pending(step)
                    _check_weights(model, step)
                    if step < recipe.steps:
                        _save(layout, cell, model, part, average, progress, accelerator, made_of)
                        journal.write("checkpoint", step=step)
        progress.step, progress.position = span.last, loader.position
    average.replace_weights()
    return progress


def _check_weights(model: nn.Module, step: int) -> None:
    """A finite loss may still have infinite gradients, so the weights are checked before they are saved."""
    if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
        raise not_finite("a weight", step)


def _save(
    layout: Layout,
    cell: Cell,
    model: nn.Module,
    part: Part,
    average: Average,
    progress: Progress,
    accelerator: Accelerator,
    made_of: Mapping[str, str],
) -> None:
    ranks = gather_object([{"random": random_state(), "pending": progress.pending}])
    if accelerator.is_main_process:
        state: dict[str, Any] = {
            "position": progress.position,
            "seconds": progress.seconds,
            "final_loss": progress.final_loss,
            "optimizer": part.optimizer.state_dict(),
            "adversaries": part.objective.adversaries.state(),
            "average": average.state(),
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
            "ranks": ranks,
        }
        write_checkpoint(layout.checkpoints(cell.id), progress.step, model, state, made_of)
    accelerator.wait_for_everyone()


def _newest(
    cell: Cell, layout: Layout, journal: Journal, accelerator: Accelerator, made_of: Mapping[str, str]
) -> FoundCheckpoint | None:
    """The newest whole checkpoint that was trained from what there is now, with the journal rewound to it."""
    root = layout.checkpoints(cell.id)
    found = find_checkpoint(root)
    said = [f"damaged checkpoint passed over: {reason}" for reason in (found.damaged if found else ())]
    if found is not None and (differs := found.differs(made_of)):
        said.append(f"checkpoint of step {found.step} dropped: it was trained from other {', '.join(differs)}")
        found = None
        accelerator.wait_for_everyone()  # every rank has read it
        if accelerator.is_main_process:
            drop_checkpoints(root)
        accelerator.wait_for_everyone()
    step = found.step if found else 0
    journal.rewind(step)
    journal.write("start", step=step, steps=cell.recipe.steps)
    for message in said:
        log.warning("%s", message)
        journal.write("warning", step=step, message=message)
    return found


def _progress(found: FoundCheckpoint, accelerator: Accelerator) -> Progress:
    """Where a checkpoint left off, with this rank's generators put back."""
    state = found.state
    progress = Progress(found.step, state["position"], state["seconds"], state["final_loss"])
    if len(state["ranks"]) == accelerator.num_processes:
        mine = state["ranks"][accelerator.process_index]
        set_random_state(mine["random"])
        progress.pending = tuple(mine["pending"])
    return progress
