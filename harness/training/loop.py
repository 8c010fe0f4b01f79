"""The training loop, the same for every backbone, refiner and regime.

The memory layout is left to the networks: channels_last makes Restormer faster and NAFNet slower on a CPU, so a network
that gains converts itself and its input. Threads are the job's (harness.jobs.run).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.optim import Optimizer

from harness.core.identity import seed
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.spec.cell import Cell
from harness.spec.resolved import Run
from harness.training.checkpoint import find_checkpoint, load_model, random_state, set_random_state, write_checkpoint
from harness.training.data import TrainLoader
from harness.training.journal import Journal, LossCurve, not_finite
from harness.training.optim import build_optimizer, learning_rate, set_learning_rate
from harness.training.step import EncodeLive, Stepper, build_objective

OpenLoader = Callable[[int], TrainLoader]
"""The training data from a position of the global sample stream on."""


@dataclass
class Progress:
    """How far training has come. `seconds`: in the loop, over all attempts."""

    step: int = 0
    position: int = 0
    seconds: float = 0.0
    final_loss: float = math.nan
    pending: tuple[float, int] = (0.0, 0)
    """This rank's loss, summed over steps that no line of the loss curve has yet, and their number."""


def train(
    cell: Cell,
    model: nn.Module,
    open_loader: OpenLoader,
    accelerator: Accelerator,
    *,
    registry: Registry,
    run: Run,
    layout: Layout,
    journal: Journal,
    encode_live: EncodeLive | None = None,
) -> Progress:
    """Trains `model` in place up to the recipe's last step, from the newest whole checkpoint if the cell has one.

    On a CPU an interrupted and resumed training equals an uninterrupted one bit for bit, loss curve included.
    Raises HarnessError: kind `nan` when the loss or the weights stop being finite, `checkpoint` when every checkpoint
    is damaged, `storage` when one cannot be written.
    """
    recipe = cell.recipe
    torch.manual_seed(seed("train", cell.id, accelerator.process_index))
    model.to(accelerator.device).train()
    optimizer = build_optimizer(recipe, model.parameters())
    objective = build_objective(recipe, registry, accelerator.device)
    prepared, stepped = accelerator.prepare(model, optimizer)
    stepper = Stepper(accelerator, prepared, stepped, objective, recipe.micro_batch, recipe.clip_grad, encode_live)
    progress = _resume(cell, model, optimizer, accelerator, layout, journal)
    curve = LossCurve(journal, accelerator, batch=recipe.batch, pending=progress.pending)
    loader = open_loader(progress.position)
    began = time.perf_counter() - progress.seconds
    with closing(iter(loader)) as batches:
        for step, batch in zip(range(progress.step + 1, recipe.steps + 1), batches, strict=False):
            lr = learning_rate(recipe, step)
            set_learning_rate(optimizer, lr)
            curve.add(stepper(batch))
            if step % run.log_every == 0 or step == recipe.steps:
                progress.final_loss = curve.write(step, steps=recipe.steps, lr=lr)
            if step % run.checkpoint_every == 0 or step == recipe.steps:
                progress.step, progress.position = step, loader.position
                progress.seconds, progress.pending = time.perf_counter() - began, curve.pending(step)
                _check_weights(model, step)
                if step < recipe.steps:
                    _save(layout, cell, model, optimizer, progress, accelerator)
                    journal.write("checkpoint", step=step)
    return progress


def _check_weights(model: nn.Module, step: int) -> None:
    """A finite loss may still have made infinite gradients: what is saved is looked at itself."""
    if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
        raise not_finite("a weight", step)


def _save(
    layout: Layout, cell: Cell, model: nn.Module, optimizer: Optimizer, progress: Progress, accelerator: Accelerator
) -> None:
    ranks = gather_object([{"random": random_state(), "pending": progress.pending}])
    if accelerator.is_main_process:
        state: dict[str, Any] = {
            "position": progress.position,
            "seconds": progress.seconds,
            "final_loss": progress.final_loss,
            "optimizer": optimizer.state_dict(),
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
            "ranks": ranks,
        }
        write_checkpoint(layout.checkpoints(cell.id), progress.step, model, state)
    accelerator.wait_for_everyone()


def _resume(
    cell: Cell, model: nn.Module, optimizer: Optimizer, accelerator: Accelerator, layout: Layout, journal: Journal
) -> Progress:
    """Puts model, optimizer, scaler and generators where the newest whole checkpoint left them, and the journal too."""
    found = find_checkpoint(layout.checkpoints(cell.id))
    journal.rewind(found.step if found else 0)
    journal.write("start", step=found.step if found else 0, steps=cell.recipe.steps)
    if found is None:
        return Progress()
    for reason in found.damaged:
        journal.write("warning", step=found.step, message=f"damaged checkpoint passed over: {reason}")
    load_model(found, model)
    state = found.state
    optimizer.load_state_dict(state["optimizer"])
    if accelerator.scaler and state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    progress = Progress(found.step, state["position"], state["seconds"], state["final_loss"])
    if len(state["ranks"]) == accelerator.num_processes:
        mine = state["ranks"][accelerator.process_index]
        set_random_state(mine["random"])
        progress.pending = tuple(mine["pending"])
    return progress
