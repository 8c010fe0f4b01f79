"""What the processes of a training do together when they begin from a checkpoint, and when they write one.

Rank 0 alone finds, reads, repairs, drops and writes; the others get what they need from it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.cells.cell import Cell
from harness.core.errors import FailureClass, HarnessError
from harness.core.guests import guest_place, is_guest
from harness.core.paths import Layout
from harness.models.weights import fill
from harness.training.average import Average
from harness.training.checkpoint import (
    FoundCheckpoint,
    drop_checkpoints,
    find_checkpoint,
    random_state,
    read_model,
    set_random_state,
    write_checkpoint,
)
from harness.training.engines.base import Engine, ModelState
from harness.training.engines.named import digest_of
from harness.training.journal import Journal, not_finite
from harness.training.stages import Part

log = logging.getLogger(__name__)


@dataclass
class Resumed:
    """What a checkpoint says beside the weights, on every rank."""

    step: int
    state: dict[str, Any]

    def free(self) -> None:
        """Lets go of all that is large, once it is in place."""
        self.state = {}


def resumed(
    cell: Cell, engine: Engine, model: nn.Module, layout: Layout, journal: Journal, made_of: Mapping[str, str]
) -> Resumed | None:
    """The newest whole checkpoint that was trained from what there is now, its weights in the model, the journal
    rewound to it, and this rank's generators put back when as many processes wrote it (collective)."""
    told: dict[str, Any] | None = None
    if engine.rank == 0:
        found = _newest(cell, layout, journal, made_of)
        if found is not None:
            told = {"step": found.step, "state": found.state, "model": read_model(found), "where": str(found.folder)}
    told = engine.spread(told)
    if told is None:
        return None
    fill(model, told["model"], where=told["where"], kind="checkpoint")
    generators = told["state"]["random"]
    if len(generators) == engine.ranks:
        set_random_state(generators[engine.rank])
    return Resumed(told["step"], told["state"])


def save(
    root: Path,
    step: int,
    engine: Engine,
    weights: ModelState,
    part: Part,
    average: Average,
    told: Mapping[str, Any],
    made_of: Mapping[str, str],
) -> None:
    """Writes a checkpoint (collective). `weights`: whole, on rank 0; `told`: how far training has come."""
    state: dict[str, Any] = {
        **told,
        "optimizer": engine.optimizer_state(),
        "adversaries": part.passes.objective.adversaries.state(),
        "average": average.whole(),
        "scale": engine.scale_state(),
        "random": engine.gather(random_state()),
    }
    if engine.rank == 0:
        write_checkpoint(root, step, weights, state, made_of)


def check_together(
    engine: Engine, step: int, adversaries: Sequence[nn.Module] = (), others: Sequence[nn.Module] = ()
) -> None:
    """Raises HarnessError on every rank when processes that hold the same weights or buffers do not (collective).

    `adversaries`: networks that train beside, whole in every process; `others`: the network that trains, and losses
    without weights that train, whose buffers are whole in every process.
    """
    if engine.ranks == 1:
        return
    told = engine.gather([engine.checksum(), *(digest_of(dict(each.named_parameters())) for each in adversaries)])
    forms = max(len(set(filter(None, each))) for each in zip(*told, strict=True))
    if forms > 1:
        what = f"the weights of the processes came apart: at step {step} there are {forms} forms of them"
        hint = "train on one process; where that works, a machine or a part of the network counts otherwise"
        raise HarnessError(what, where=f"step {step}", hint=hint, kind="worker_lost")
    _check_buffers(engine, step, others)


def _check_buffers(engine: Engine, step: int, modules: Sequence[nn.Module]) -> None:
    """Batch norms take the statistics of whole batches (harness.parts.ops.whole_batch); what a part of its own keeps
    of the images of one process would be lost but for rank 0's."""
    own = {
        (place, name): value
        for place, module in enumerate(modules)
        for name, value in module.named_buffers()
        if value.is_floating_point()
    }
    told = engine.gather({key: digest_of({"": value}) for key, value in own.items()})
    unlike = [key for key in told[0] if len({each.get(key) for each in told}) > 1]
    # Cards of several kinds round what they compute alike in another way.
    values = engine.gather([own[key].detach().double().cpu() for key in unlike if key in own]) if unlike else []
    for number, key in enumerate(unlike):
        if not _nearly_alike([each[number] for each in values if number < len(each)]):
            what = f"its buffer {key[1]} came apart: at step {step} the processes have different values in it, so that"
            what += " they train different networks, and a checkpoint has those of one"
            hint = "let it follow the whole batch (harness.parts.ops.whole_batch.mean_of_group), or train on 1 process"
            owner = _owner(modules[key[0]], key[1])
            kind: FailureClass = "plugin" if is_guest(owner) else "worker_lost"
            raise HarnessError(f"{owner.__name__}: {what}", where=guest_place(owner), hint=hint, kind=kind)


def _nearly_alike(values: Sequence[Tensor]) -> bool:
    first, *rest = values
    return all(
        first.shape == other.shape and torch.allclose(first, other, rtol=1e-3, atol=1e-6, equal_nan=True)
        for other in rest
    )


def _owner(module: nn.Module, buffer: str) -> type[nn.Module]:
    """The class of the innermost module of the user's own around a buffer; of the whole one where there is none."""
    path = buffer.split(".")[:-1]
    around = [type(module.get_submodule(".".join(path[:depth]))) for depth in range(len(path) + 1)]
    return next((cls for cls in reversed(around) if is_guest(cls)), around[0])


def whole_weights(engine: Engine, step: int) -> ModelState:
    """The network's state, whole, on rank 0 (collective). Raises HarnessError (kind `nan`), on every rank.

    A finite loss may still have infinite gradients, so the weights are checked before they are saved.
    """
    state = engine.model_state()
    if not all(engine.gather(all(bool(torch.isfinite(value).all()) for value in state.values()))):
        raise not_finite("a weight", step)
    return state


def _newest(cell: Cell, layout: Layout, journal: Journal, made_of: Mapping[str, str]) -> FoundCheckpoint | None:
    root = layout.checkpoints(cell.id)
    found = find_checkpoint(root)
    said = [f"damaged checkpoint passed over: {reason}" for reason in (found.damaged if found else ())]
    if found is not None and (reason := found.misfit(made_of)):
        said.append(f"checkpoint of step {found.step} dropped: {reason}")
        found = None
        drop_checkpoints(root)
    step = found.step if found else 0
    journal.rewind(step)
    journal.write("start", step=step, steps=cell.recipe.steps)
    for message in said:
        log.warning("%s", message)
        journal.write("warning", step=step, message=message)
    return found
