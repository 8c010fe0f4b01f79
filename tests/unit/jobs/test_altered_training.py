"""Trainings whose recipe mixes and changes batches, or averages weights."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.api.batch import Batch
from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Darken, Grain, Mixup, Scale
from harness.core.errors import HarnessError
from harness.jobs import train
from harness.training import loop
from harness.training.alter import Alteration
from harness.training.average import Average
from harness.training.data import TrainLoader
from harness.training.engines.base import Engine
from tests.small_world import RECIPE, SmallWorld, small_cell

ALTERED = {
    "steps": 5,
    "augment": "flips",
    "optimizer": "radam",
    "mixup": Mixup(alpha=1.2, chance=0.6, per="sample", after=1, groups=2),
    "grain": Grain(chance=0.5, sigma=0.05),
    "grey": 0.3,
    "darken": Darken(chance=0.5),
}


def weights(world: SmallWorld, cell: Cell) -> dict[str, Tensor]:
    return load_file(world.layout.final_weights(cell.id))


def test_the_average_of_all_steps_is_saved_and_does_not_steer_the_training(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []

    class Recorded(Average):
        def __init__(self, engine: Engine, names: Collection[str], decay: float | None) -> None:
            super().__init__(engine, names, decay)
            self.engine = engine
            self.record()

        def record(self) -> None:
            seen.append({name: value.clone() for name, value in self.engine.shares().items()})

        def update(self) -> None:
            super().update()
            self.record()

    plain = small_cell(recipe=RECIPE.model_copy(update={"steps": 6}))
    train.run(world.train_job(plain), world.context)
    monkeypatch.setattr(loop, "Average", Recorded)
    averaged = small_cell(recipe=RECIPE.model_copy(update={"steps": 6, "ema": 0.75}))
    train.run(world.train_job(averaged), world.context)
    assert len(seen) == 7
    last, average = weights(world, plain), weights(world, averaged)
    assert averaged.id != plain.id
    for name, value in seen[0].items():
        assert torch.equal(seen[6][name], last[name]), name
        expected = 0.75**6 * value + 0.25 * sum(0.75 ** (6 - step) * seen[step][name] for step in range(1, 7))
        torch.testing.assert_close(average[name], expected)
        assert not torch.equal(average[name], last[name]) or torch.equal(value, last[name])


def test_base_and_variant_meet_equal_changed_batches(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[list[tuple[Tensor, Tensor | None, Tensor]]] = []
    real = Alteration.__call__

    def watched(self: Alteration, batch: Batch, step: int) -> tuple[Batch, Tensor]:
        altered, shown = real(self, batch, step)
        met[-1].append((altered.lq_BCHW, altered.gt_BCHW, shown))
        return altered, shown

    monkeypatch.setattr(Alteration, "__call__", watched)
    recipe = RECIPE.model_copy(update=ALTERED)
    live = Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss"), features="live")
    for cell in (small_cell(recipe=recipe), small_cell(recipe=recipe, variant=live)):
        met.append([])
        train.run(world.train_job(cell), world.context)
    assert [len(batches) for batches in met] == [5, 5]
    for one, other in zip(*met, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))  # type: ignore[arg-type]
    assert any(not torch.equal(lq, shown) for lq, _, shown in met[0])


def test_patches_of_scaled_samples_are_cut_from_larger_ones(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[tuple[int, int]] = []
    real = Alteration.__call__

    def watched(self: Alteration, batch: Batch, step: int) -> tuple[Batch, Tensor]:
        altered, shown = real(self, batch, step)
        sides.append((batch.lq_BCHW.shape[-1], shown.shape[-1]))
        return altered, shown

    monkeypatch.setattr(Alteration, "__call__", watched)
    changes = {"steps": 2, "scale": Scale(chance=0.5, least=0.7)}
    cell = small_cell(recipe=RECIPE.model_copy(update=changes))
    assert cell.recipe.crops == ((46, 46),)
    train.run(world.train_job(cell), world.context)
    assert sides == [(46, 32), (46, 32)]


def test_a_rate_for_a_module_that_is_not_there_is_refused(world: SmallWorld) -> None:
    cell = small_cell(recipe=RECIPE.model_copy(update={"rates": {"backbone.intr": 0.5, "refiner.any": 2.0}}))
    with pytest.raises(HarnessError, match=r"'backbone\.intr' is not a module with parameters") as caught:
        train.run(world.train_job(cell), world.context)
    assert "backbone.intro" in caught.value.hint


@pytest.mark.parametrize("altered", [True, False])
def test_batches_that_are_changed_on_the_host_stay_there_until_they_are(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, altered: bool
) -> None:
    sent: list[torch.device] = []
    to = TrainLoader.to

    def watched(loader: TrainLoader, device: torch.device) -> TrainLoader:
        sent.append(device)
        return to(loader, device)

    monkeypatch.setattr(TrainLoader, "to", watched)
    changes = {"mixup": Mixup(alpha=1.0)} if altered else {}
    train.run(world.train_job(cell := small_cell(recipe=RECIPE.model_copy(update=changes))), world.context)
    assert world.record(cell).status == "trained"
    assert sent == ([] if altered else [torch.device("cpu")])
