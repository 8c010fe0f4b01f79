"""A refiner's own stages: which of its modules train when, by which losses, on the same samples as without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.jobs import train
from harness.jobs.classify import classify
from harness.jobs.context import Context
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend, open_suite
from harness.training.data import TrainLoader
from harness.training.stages import Part
from tests.small_world import SmallWorld

PLUGIN = '''
from torch import nn

from harness.api.refiner import RefinerTraits
from harness.api.traits import LossUse, StageUse


class Two(nn.Module):
    """Guesses a gray image, then adds it."""

    traits = RefinerTraits(
        needs_prior=False, outputs=True, losses=(LossUse("tv", 0.1),),
        stages=(StageUse(0.5, ("guess",), (LossUse("mse", 2.0),)), StageUse(0.5)),
    )

    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.guess = nn.Conv2d(3, 3, 3, padding=1)
        self.join = nn.Conv2d(6, 3, 1)

    def forward(self, lq_BCHW, initial_BCHW, prior_BD=None):
        return self.outputs(lq_BCHW, initial_BCHW, prior_BD)["restored"]

    def outputs(self, lq_BCHW, initial_BCHW, prior_BD=None):
        guess = self.guess(lq_BCHW)
        import torch
        return {"restored": initial_BCHW + guess + 0.1 * self.join(torch.cat([guess, initial_BCHW], 1)), "guess": guess}


class Plain(Two):
    """The same without stages."""

    traits = RefinerTraits(needs_prior=False, outputs=True, losses=(LossUse("tv", 0.1),))

    def __init__(self, *, width: int = 4) -> None:
        super().__init__(width=width)


CATALOGUE = (("refiner", "two", "Two"), ("refiner", "plain", "Plain"))
'''

SUITE = """
suite: staged
plugins: [two.py]
defaults:
  dataset: photos
  task: gaussian_denoise
  backbone: {name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
  recipe: {steps: 12, batch: 4, patch: 32}
blocks:
  - matrix: {variant: [{refiner: two}, {refiner: plain}]}
"""


@pytest.fixture
def staged(tmp_path: Path) -> tuple[Cell, Cell, str]:
    """A cell with a refiner in stages, the same without, and the plug-in file."""
    (tmp_path / "two.py").write_text(PLUGIN)
    (tmp_path / "suite.yaml").write_text(SUITE)
    suite, _ = open_suite(str(tmp_path / "suite.yaml"))
    # The prepared set of these tests leaves gaps between tiles, which suites may not.
    two, plain = (
        entry.cell.model_copy(update={"recipe": entry.cell.recipe.model_copy(update={"stride": 160})})
        for entry in suite.cells
        if entry.cell.backbone is not None
    )
    return two, plain, str(tmp_path / "two.py")


def run(world: SmallWorld, cell: Cell, plugin: str) -> None:
    train.run(world.train_job(cell, plugins=(plugin,)), Context(world.layout, extend(REGISTRY, [plugin])))


def test_stages_are_part_of_the_cell_and_of_its_identity(staged: tuple[Cell, Cell, str]) -> None:
    two, plain, _ = staged
    assert [(stage.steps, stage.trains) for stage in two.variant.stages] == [(6, ("refiner.guess",)), (6, ())]
    assert [term.part.name for term in two.variant.stages[0].losses or ()] == ["mse"]
    assert two.variant.stages[1].losses is None
    assert plain.variant.stages == ()
    assert "stages" not in plain.content()["variant"]
    assert {term.part.name for term in two.loss_terms} == {"charbonnier", "mse", "tv"}
    assert two.id != plain.id


def test_each_stage_trains_its_modules_by_its_losses_on_the_same_samples(
    world: SmallWorld, staged: tuple[Cell, Cell, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two, plain, plugin = staged
    seen: dict[str, list[list[str]]] = {}
    moved: dict[str, dict[int, set[str]]] = {}
    losses: dict[int, list[str]] = {}
    real = Part.stepper

    def watched(part: Any, cell: Cell, *given: Any, **named: Any) -> Any:
        stepper = real(part, cell, *given, **named)
        losses[part.span.first] = [type(term.loss).__name__ for term in part.passes.objective.terms]

        def step(batch: Any, number: int, **how: Any) -> Any:
            before = {name: value.detach().clone() for name, value in stepper.passes.model.named_parameters()}
            loss = stepper(batch, number, **how)
            changed = {
                name for name, value in stepper.passes.model.named_parameters() if not torch.equal(value, before[name])
            }
            seen.setdefault(cell.id, []).append(batch.keys)
            moved.setdefault(cell.id, {})[number] = {name.rpartition(".")[0] for name in changed}
            return loss

        step.gives_truth = stepper.gives_truth  # type: ignore[attr-defined]
        return step

    monkeypatch.setattr(Part, "stepper", watched)
    run(world, plain, plugin)
    losses.clear()
    run(world, two, plugin)
    assert seen[two.id] == seen[plain.id], "stages of a refiner must not change which samples are seen"
    assert all(modules == {"refiner.guess"} for number, modules in moved[two.id].items() if number <= 6)
    assert all({"refiner.join", "refiner.guess"} < modules for number, modules in moved[two.id].items() if number > 6)
    assert losses == {0: ["MSE"], 6: ["Charbonnier", "TV"]}


@pytest.mark.parametrize("killed_after", [4, 8])
def test_a_killed_training_goes_on_with_the_same_numbers(
    world: SmallWorld, staged: tuple[Cell, Cell, str], monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    """Checkpoints come every four steps: one lies in each stage."""
    two, _, plugin = staged
    whole = SmallWorld(type(world.layout)(world.layout.out / "whole", world.layout.data))
    run(whole, two, plugin)
    batches = TrainLoader.__iter__
    count = 0

    def ending(loader: TrainLoader) -> Any:
        nonlocal count
        for batch in batches(loader):
            if count == killed_after + 1:
                raise HarnessError("killed")
            count += 1
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(TrainLoader, "__iter__", ending)
        with pytest.raises(HarnessError, match="killed"):
            run(world, two, plugin)
    run(world, two, plugin)
    ours, theirs = (load_file(each.layout.final_weights(two.id)) for each in (world, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert world.curve(two) == whole.curve(two)


def test_a_stage_that_names_a_missing_module_says_so(world: SmallWorld, staged: tuple[Cell, Cell, str]) -> None:
    two, _, plugin = staged
    stages = (two.variant.stages[0].model_copy(update={"trains": ("refiner.gess",)}), two.variant.stages[1])
    cell = two.model_copy(update={"variant": two.variant.model_copy(update={"stages": stages})})
    with pytest.raises(HarnessError, match=r"stage 1: 'refiner\.gess' is not a module with parameters") as caught:
        run(world, cell, plugin)
    assert "refiner.guess" in caught.value.hint
    assert classify(caught.value) == "suite"
