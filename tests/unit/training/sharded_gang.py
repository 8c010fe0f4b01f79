"""One process of a gang that trains small networks under the forms of an engine, one job after the other.

`python -m tests.unit.training.sharded_gang RANK RANKS FOLDER`: runs the jobs of `FOLDER/jobsRANKS.json`, each in
a process group of its own, and leaves `FOLDER/<name>.pt`: losses, whole weights, average and moments, or the refusal.
A job of the form `plain` is the yardstick: one process, and nothing of an engine.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from harness.api.reference import PartRef
from harness.api.running import Seat
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import DeepSpeed
from harness.core.errors import HarnessError
from harness.models.assemble import build_model
from harness.parts.catalogue import REGISTRY
from harness.training.objective import Images, build_objective
from harness.training.optim import RATE, build_optimizer
from harness.training.passes import MicroBatch, Passes
from harness.training.stages import choose_trained
from tests.small_world import small_cell
from tests.unit.training.odd_networks import Odd

BATCH, SIDE, DIM = 4, 16, 8
DECAY = 0.9


@dataclass(frozen=True)
class Task:
    """A small training. The defaults are one stage of AdamW."""

    name: str
    form: str = "plain"
    """plain, ddp, fsdp2, or deepspeed1 to deepspeed3."""
    refined: bool = False
    """Whether PTG-RM stands behind the network."""
    steps: int = 6
    first: int = 0
    """Steps that another job took, whose result `load` names."""
    load: str = ""
    optimizer: str = "adamw"
    clip: float | None = None
    micro: int = BATCH
    restart: int | None = None
    """The step after which a second stage begins with an optimizer of its own."""
    trains: tuple[str, ...] = ()
    """Modules that train; all when empty."""
    then: tuple[str, ...] = ()
    """Modules that train from the third step on, with the same optimizer."""
    rates: dict[str, float] | None = None
    precision: str = "fp32"
    offload: str = "none"
    config: str | None = None
    odd: str = ""
    """The kind of an `Odd` network in place of NAFNet."""


def cell_of(task: Task) -> Cell:
    """The cell that the task trains."""
    recipe = Recipe(
        steps=task.steps,
        batch=BATCH,
        patch=SIDE,
        optimizer=task.optimizer,
        lr=1e-3,
        weight_decay=1e-2,
        clip_grad=task.clip,
        precision=task.precision,
        rates=task.rates,
        losses=(LossTerm(part=PartRef(name="charbonnier", options={"eps": 1e-3})),),
    )
    changes: dict[str, Any] = {"recipe": recipe}
    if task.refined:
        prior = PartRef(name="random", options={"dim": DIM})
        changes["variant"] = Variant(refiner=PartRef(name="ptg_rm"), prior=prior)
    return small_cell(**changes)


def part_of(step: int, rank: int, ranks: int, start: int, size: int, *, with_prior: bool) -> MicroBatch:
    """A micro-batch of a rank's share of a step's batch."""
    torch.manual_seed(1000 + step)
    lq, gt, prior = torch.rand(BATCH, 3, SIDE, SIDE), torch.rand(BATCH, 3, SIDE, SIDE), torch.randn(BATCH, DIM)
    share = BATCH // ranks
    first = rank * share + start
    own = slice(first, min(first + size, (rank + 1) * share))
    images = Images(lq[own], gt[own], gt[own])
    count = own.stop - own.start
    return MicroBatch(
        lq[own],
        images,
        prior[own] if with_prior else None,
        step=step,
        share=count / share,
        ranks=ranks,
        number=step,
    )


class Plain:
    """One process, by hand."""

    rank, ranks = 0, 1

    def prepare(self, passes: Passes, optimizer: torch.optim.Optimizer) -> None:
        self.passes, self.optimizer = passes, optimizer

    def forward(self, part: MicroBatch, *, last: bool = True) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            return self.passes(part)

    precision = "fp32"

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, clip: float | None) -> None:
        if clip is not None:
            clip_grad_norm_(self.passes.parameters(), clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def set_learning_rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value * group[RATE]

    def model_state(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.passes.model.state_dict().items()}

    def optimizer_state(self) -> dict[str, Any]:
        names = {id(value): name for name, value in self.passes.model.named_parameters()}
        state = {
            names[id(value)]: {key: each.clone() for key, each in own.items() if isinstance(each, Tensor)}
            for value, own in self.optimizer.state.items()
        }
        groups = [
            {key: each for key, each in group.items() if key != "params"} for group in self.optimizer.param_groups
        ]
        return {"state": state, "groups": groups}

    def load_optimizer(self, state: dict[str, Any]) -> None:
        parameters = dict(self.passes.model.named_parameters())
        for name, own in state["state"].items():
            self.optimizer.state[parameters[name]] = {key: torch.as_tensor(each).clone() for key, each in own.items()}

    def shares(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.passes.model.named_parameters()}

    def cut(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in tensors.items()}

    def whole(self, shares: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in shares.items()}

    def mean(self, value: Tensor) -> Tensor:
        return value.detach().clone()

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def checksum(self) -> str:
        return ""

    def close(self) -> None:
        pass


def engine_of(task: Task, cell: Cell, seat: Seat) -> Any:
    """The engine of a task, or its yardstick."""
    if task.form == "plain":
        plain = Plain()
        plain.precision = task.precision
        return plain
    if task.form == "ddp":
        from harness.training.engines.ddp import start_ddp

        return start_ddp(cell.recipe.precision, gpus=0, seat=seat)
    if task.form == "fsdp2":
        from harness.training.engines.fsdp2 import Fsdp2Engine

        return Fsdp2Engine(cell.recipe, 0, seat)
    from harness.training.engines.deepspeed import DeepSpeedEngine

    given: dict[str, Any] = (
        {"config": task.config} if task.config else {"stage": int(task.form[-1]), "offload": task.offload}
    )
    return DeepSpeedEngine(cell.recipe, DeepSpeed(**given), 0, seat)


def start(task: Task, cell: Cell, folder: Path) -> tuple[nn.Module, dict[str, Any] | None]:
    """The network, with the weights of the job that it goes on from."""
    model = Odd(task.odd) if task.odd else build_model(cell, REGISTRY, DIM if task.refined else None)
    model.train()
    found = None
    if task.load:
        found = torch.load(folder / f"{task.load}.pt", weights_only=True)
        model.load_state_dict(found["model"])
    return model, found


def train(task: Task, engine: Any, folder: Path) -> dict[str, Any]:
    """Losses of all steps, and the whole state after the last."""
    cell = cell_of(task)
    model, found = start(task, cell, folder)
    trainable = {name for name, _ in model.named_parameters()}
    passes = Passes(model, build_objective(cell, cell.recipe.parts[0], REGISTRY, torch.device("cpu")))

    def begin() -> None:
        choose_trained(model, trainable, task.trains)
        engine.prepare(passes, build_optimizer(cell.recipe, model.named_parameters()))

    begin()
    average = {name: value.clone() for name, value in engine.shares().items()}
    if found:
        engine.load_optimizer(found["optimizer"])
        average = engine.cut(found["average"])
    losses = []
    for step in range(task.first + 1, task.first + task.steps + 1):
        if task.restart == step - 1:
            begin()
        if task.then and step == 3:
            choose_trained(model, trainable, task.then)
        engine.set_learning_rate(1e-3 * (1 - step / 100))
        losses.append(take_step(engine, task, step))
        for name, share in engine.shares().items():
            average[name].lerp_(share, 1 - DECAY)
    state = {"losses": losses, "model": engine.model_state(), "average": engine.whole(average)}
    return state | {"optimizer": engine.optimizer_state(), "checksums": engine.gather(engine.checksum())}


def take_step(engine: Any, task: Task, step: int) -> float:
    """One optimizer step; the whole batch's loss."""
    share = BATCH // engine.ranks
    total = torch.zeros(())
    for begun in range(0, share, task.micro):
        last = begun + task.micro >= share
        part = part_of(step, engine.rank, engine.ranks, begun, task.micro, with_prior=task.refined)
        loss, _ = engine.forward(part, last=last)
        engine.backward(loss)
        total += loss.detach()
    engine.step(task.clip)
    return float(engine.mean(total))


def run(task: Task, rank: int, ranks: int, folder: Path) -> None:
    """One job, in a process group that ends with it."""
    if ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/{task.name}.meet", rank=rank, world_size=ranks)
    try:
        engine = engine_of(task, cell_of(task), Seat(rank, ranks, rank, ranks))
        found = train(task, engine, folder)
        engine.close()
    except HarnessError as error:
        found = {"refused": str(error)}
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    assert not [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_"))]
    if rank == 0:
        torch.save(found, folder / f"{task.name}.pt")


def main(rank: int, ranks: int, folder: Path) -> None:
    torch.set_num_threads(1)
    for fields in json.loads((folder / f"jobs{ranks}.json").read_text()):
        for name in ("trains", "then"):
            fields[name] = tuple(fields[name])
        run(Task(**fields), rank, ranks, folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
