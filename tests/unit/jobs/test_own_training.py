"""Training by more than an image loss: stages, adversaries, and losses that read no truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.batch import Batch
from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import LossTerm, PresetRef, Recipe, Stage
from harness.core.paths import Layout
from harness.data.index import Side
from harness.data.shards import ShardSet
from harness.jobs import train
from harness.parts.catalogue import REGISTRY
from harness.recipes.presets import network_presets
from harness.training.data import TrainLoader
from harness.training.engines import accelerated
from harness.training.optim import set_learning_rate
from tests.small_world import RANDOM, RECIPE, SmallWorld, low_light, prepare, small_cell

LOW_LIGHT = {
    "zero_dce": {"width": 4},
    "ruas": {},
    "sci": {"stage": 2},
    "enlightengan": {"width": 4},
}
"""Networks that train without truth, small."""


def term(name: str, weight: float = 1.0, **options: Any) -> LossTerm:
    return LossTerm(part=PartRef(name=name, options=options), weight=weight)


def own_losses(name: str) -> tuple[LossTerm, ...]:
    """Those that the network declares."""
    declared = declaration(REGISTRY, "backbone", name).traits.losses
    small = {"enlightengan": {"width": 4, "patches": 1}}
    return tuple(
        term(use.name, use.weight, **use.options | small.get(use.name, {}))
        for use in declared
        if use.name != "self_feature"  # whose weights are not here
    )


def unsupervised(name: str) -> Cell:
    """PTG-RM on a network that trains without truth, by the network's own losses."""
    return small_cell(
        task=low_light(),
        backbone=PartRef(name=name, options=LOW_LIGHT[name]),
        variant=Variant(refiner=PartRef(name="ptg_rm"), prior=RANDOM),
        recipe=RECIPE.model_copy(update={"losses": own_losses(name), "steps": 4}),
    )


def weights(world: SmallWorld, cell: Cell) -> bytes:
    return world.layout.final_weights(cell.id).read_bytes()


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """(side, key) of every image that is read from shards."""
    found: set[tuple[str, str]] = set()
    real = ShardSet.image

    def noted(stored: ShardSet, row: int, side: Side, *window: Any) -> np.ndarray:
        found.add((side, stored.index.keys[row]))
        return real(stored, row, side, *window)

    monkeypatch.setattr(ShardSet, "image", noted)
    return found


@pytest.mark.parametrize("name", ["zero_dce", "ruas", "sci"])
def test_no_truth_is_read_where_no_loss_reads_it(world: SmallWorld, looked_at: set[tuple[str, str]], name: str) -> None:
    cell, paired = unsupervised(name), small_cell(task=low_light())
    prepare(world, cell)
    looked_at.clear()
    train.run(world.train_job(cell), world.context)
    assert world.record(cell).training.steps == 4
    assert {side for side, _ in looked_at} == {"lq"}
    train.run(world.train_job(paired), world.context)
    assert {side for side, _ in looked_at} == {"lq", "gt"}


def test_unpaired_training_never_sees_both_forms_of_a_scene(world: SmallWorld, looked_at: set[tuple[str, str]]) -> None:
    cell = unsupervised("enlightengan")
    prepare(world, cell)
    looked_at.clear()
    train.run(world.train_job(cell), world.context)
    scene = {"motorcycle_left": "motorcycle", "motorcycle_right": "motorcycle"}
    degraded, clean = ({scene.get(key, key) for of, key in looked_at if of == side} for side in ("lq", "gt"))
    assert degraded
    assert clean
    assert not degraded & clean


def staged() -> Cell:
    """Three parts: patches of another size, then an adversary, then a new start for the refiner alone."""
    stages = (
        Stage(steps=3, patch=48, batch=2),
        Stage(steps=5, losses=(term("l1"), term("enlightengan", 0.1, width=4, patches=1))),
        Stage(steps=4, trains=("refiner",), restart=True, lr=1e-4),
    )
    recipe = Recipe(steps=12, batch=4, patch=32, stages=stages)
    return small_cell(variant=Variant(refiner=PartRef(name="ptg_rm"), prior=RANDOM), recipe=recipe)


@pytest.fixture(scope="module")
def staged_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("staged")
    prepare(SmallWorld(Layout(out, out / "data")), staged())
    return out / "data"


def test_stages_follow_each_other_and_resume_bit_for_bit(
    staged_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = staged()
    whole = SmallWorld(Layout(tmp_path / "whole", staged_data))
    train.run(whole.train_job(cell), whole.context)
    record = whole.record(cell)
    assert record.training.images == 3 * 2 + 5 * 4 + 4 * 4
    samples = cell.train_samples
    assert set(record.provenance.data) == {f"{samples.stored.name}/train", f"features of {samples.name}/train"}

    for killed_at in (2, 6, 8, 9):  # in each stage, and at the border of two; checkpoints are 4 steps apart
        broken = SmallWorld(Layout(tmp_path / f"killed{killed_at}", staged_data))
        taken = [0]

        def deadly(*given: Any, taken: list[int] = taken, last: int = killed_at) -> None:
            taken[0] += 1
            if taken[0] == last + 1:
                raise KeyboardInterrupt
            set_learning_rate(*given)

        monkeypatch.setattr(accelerated, "set_learning_rate", deadly)
        with pytest.raises(KeyboardInterrupt):
            train.run(broken.train_job(cell), broken.context)
        monkeypatch.setattr(accelerated, "set_learning_rate", set_learning_rate)
        train.run(broken.train_job(cell), broken.context)
        assert weights(broken, cell) == weights(whole, cell), f"killed after step {killed_at}"
        assert broken.curve(cell) == whole.curve(cell)


def test_a_stage_goes_on_in_the_stream_where_the_one_before_it_ended(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same samples, crops, orientations and noise as without stages: none is met twice."""
    seen: dict[str, list[torch.Tensor]] = {}
    batches = TrainLoader.__iter__

    def watched(given: TrainLoader) -> Iterator[Batch]:
        for batch in batches(given):
            seen.setdefault(subject.id, []).append(batch.lq_BCHW)
            yield batch

    monkeypatch.setattr(TrainLoader, "__iter__", watched)
    plain = RECIPE.model_copy(update={"steps": 9, "batch": 2})
    halves = plain.model_copy(update={"stages": (Stage(steps=4), Stage(steps=5, lr=1e-4))})
    cells = [small_cell(recipe=recipe) for recipe in (plain, halves)]
    for subject in cells:
        train.run(world.train_job(subject), world.context)
    whole, staged = (torch.stack(seen[subject.id]) for subject in cells)
    assert torch.equal(whole, staged)
    assert len({image.numpy().tobytes() for image in staged.flatten(0, 1)}) == 18


def test_only_the_modules_that_a_stage_names_train(staged_data: Path, tmp_path: Path) -> None:
    from harness.parts.shared.formats import read_checkpoint

    first = Stage(steps=4, trains=("backbone",), restart=True)
    cells = [
        staged().model_copy(update={"recipe": Recipe(steps=4 * len(stages), batch=4, patch=32, stages=stages)})
        for stages in ((first,), (first, Stage(steps=4, trains=("refiner",), restart=True)))
    ]
    # The same start: weights follow from the cell's id, so both cells are given one.
    for cell in cells:
        cell.__dict__["id"] = "0" * 12
    states = []
    for number, cell in enumerate(cells):
        world = SmallWorld(Layout(tmp_path / str(number), staged_data))
        train.run(world.train_job(cell), world.context)
        states.append(read_checkpoint(world.layout.final_weights(cell.id)))
    changed = {key.split(".")[0] for key, value in states[0].items() if not value.equal(states[1][key])}
    assert changed == {"refiner"}


def test_the_record_says_what_batch_norms_saw_at_once(world: SmallWorld) -> None:
    """SCI's authors give it one image a step; here are four."""
    preset = network_presets("sci")["low_light"]
    used = PresetRef(name=preset.name, version=preset.version)
    cell = small_cell(backbone=PartRef(name="sci"), recipe=RECIPE.model_copy(update={"steps": 1, "preset": used}))
    train.run(world.train_job(cell), world.context)
    training = world.record(cell).training
    assert training is not None
    assert training.recipe is not None
    assert training.recipe.differs["batch_norm"] == ([1], [4])
