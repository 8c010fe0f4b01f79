"""A training step waits for no device: not where it is put together, in the losses around the parts, or after them."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.api.batch import Batch, Restored
from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import LossTerm, Recipe
from harness.models.assemble import build_model
from harness.parts.catalogue import REGISTRY
from harness.testing import checks
from harness.training.engines.base import Engine
from harness.training.engines.ddp import start_ddp
from harness.training.objective import build_objective
from harness.training.optim import build_optimizer
from harness.training.passes import MicroBatch, Passes
from harness.training.prefetch import mapped
from harness.training.step import Stepper
from tests.absent_gpu import GPU, absent_gpu, on_gpu, waits_of

DIM = 6
LOSSES = ("l1", "edge", "enlightengan", "tv")


def cell() -> Cell:
    backbone = {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}
    refiner = {"width": 4, "long_blocks": 1, "prior_hidden": 8, "prior_width": 6}
    adversary = PartRef(name="enlightengan", options={"width": 4, "patches": 1, "patch": 8})
    parts = [adversary if name == adversary.name else PartRef(name=name) for name in LOSSES]
    return Cell(
        task=PartRef(name="low_light"),
        train=PartRef(name="photos"),
        backbone=PartRef(name="nafnet", options=backbone),
        variant=Variant(refiner=PartRef(name="ptg_rm", options=refiner), prior=PartRef(name="nss")),
        recipe=Recipe(steps=4, batch=2, patch=16, losses=tuple(LossTerm(part=part) for part in parts), clip_grad=0.1),
    )


def made() -> tuple[Cell, Passes]:
    of = cell()
    objective = build_objective(of, of.recipe.parts[0], REGISTRY, torch.device("cpu"))
    return of, Passes(build_model(of, REGISTRY, DIM).train(), objective)


def batch() -> Batch:
    lq, gt, clean = (checks.images(2, 3, 16, 16, seed=seed) for seed in range(3))
    return Batch(lq, gt, checks.unit_rows(2, DIM), ["a", "b"], clean_BCHW=clean)


class Untrained:
    """An engine on a GPU that is not there, where gradients cannot be computed."""

    device, rank, ranks = GPU, 0, 1

    def __init__(self, passes: Passes) -> None:
        self.passes = passes

    def forward(self, part: MicroBatch, *, last: bool = True) -> tuple[Tensor, Restored]:
        found: tuple[Tensor, Restored] = self.passes(part)
        return found

    def backward(self, loss: Tensor) -> None:
        assert loss.requires_grad

    def step(self, clip: float | None) -> None:
        pass

    def mean(self, value: Tensor) -> Tensor:
        return value


def test_what_surrounds_the_parts_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch that the loader has brought to the GPU, in micro-batches. In the first step inputs are compared."""
    _, passes = made()
    adversaries = passes.objective.adversaries
    monkeypatch.setattr(type(adversaries), "backward", lambda *given: None)
    monkeypatch.setattr(type(adversaries), "step", lambda *given: None)
    with absent_gpu():
        on_gpu(passes.model)
        for loss in passes.objective.modules:
            on_gpu(loss)
        there = mapped(batch(), on_gpu)
        stepper = Stepper(cast(Engine, Untrained(passes)), passes, micro_batch=1, clip_grad=0.1, group=1)
        assert waits_of(stepper, there) != []
        assert waits_of(stepper, there, 2) == []


class Asked(TorchDispatchMode):
    """Counts how often the host asks for a number, beside those that it has drawn itself: places of patches."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self._drawn: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ == "randint":
            self._drawn.append(result)  # alive, so that no other number lies in its place
        tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags)
        if tags and not any(args[0].data_ptr() == each.data_ptr() for each in self._drawn):
            self.asked += 1
        return result


def asked_in_second_step(passes: Passes, of: Cell) -> int:
    engine = start_ddp("fp32", gpus=0)
    engine.prepare(passes, build_optimizer(of.recipe, passes.model.named_parameters()))
    stepper = Stepper(engine, passes, 1, of.recipe.clip_grad, group=1)
    stepper(batch())
    with Asked() as mode:
        stepper(batch(), 2)
    engine.close()
    return mode.asked


def test_gradients_and_updates_ask_for_no_number() -> None:
    of, passes = made()
    assert asked_in_second_step(passes, of) == 0


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_one_that_asks_is_found(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    class Asking(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            assert place == "backward" or float(x.detach().sum()) is not None
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            assert place == "forward" or float(gradient.sum()) is not None
            return gradient

    of, passes = made()
    before = passes.model.forward

    def asking(*given: Any, **more: Any) -> Restored:
        found = before(*given, **more)
        return Restored(Asking.apply(found.initial_BCHW), found.refined_BCHW, found.outputs)

    monkeypatch.setattr(passes.model, "forward", asking)
    assert asked_in_second_step(passes, of) == 2, "one a micro-batch"
