"""Cells trained behind one pass of their frozen backbone come to the bits that they come to alone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Grain, LossTerm, Stage
from harness.core.errors import HarnessError
from harness.core.fence import Superseded, check_fence, fenced
from harness.core.paths import Layout, write_text
from harness.data.shards import ShardSet
from harness.jobs import together, train
from harness.jobs.__main__ import main as run_one
from harness.jobs.context import Context
from harness.jobs.notes import note_outcome
from harness.jobs.run import run_job_file
from harness.parts.backbones.nafnet import NAFNet
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.job import Job, TogetherWork, TrainWork
from harness.records import store
from harness.records.lock import side_lock
from harness.training.checkpoint import find_checkpoint
from harness.training.loop import Training
from tests.small_world import RANDOM, RECIPE, SmallWorld, prepare, small_cell

PLUGIN = '''
import torch
from torch import nn

from harness.api.refiner import RefinerTraits


class Dropping(nn.Module):
    """Draws random numbers, and reads no prior."""

    traits = RefinerTraits(needs_prior=False)

    def __init__(self, *, fails_at: int = 0) -> None:
        super().__init__()
        self.join, self.drop, self.fails_at, self.calls = nn.Conv2d(6, 3, 3, padding=1), nn.Dropout(0.5), fails_at, 0

    def forward(self, lq_BCHW, initial_BCHW, prior_BD=None):
        self.calls += 1
        if self.calls == self.fails_at:
            raise ValueError("it is tired")
        return initial_BCHW + 0.1 * self.join(self.drop(torch.cat([lq_BCHW, initial_BCHW], 1)))


CATALOGUE = (("refiner", "dropping", "Dropping"),)
'''

BASE = small_cell()


def frozen(refiner: str = "ptg_rm", prior: PartRef | None = RANDOM, variant: Any = None, **options: Any) -> Cell:
    fields = {"refiner": PartRef(name=refiner, options=options), "prior": prior, "regime": "frozen"} | (variant or {})
    return small_cell(variant=Variant(**fields), base=BASE)


def three(**options: Any) -> list[Cell]:
    """Two priors, of 8 and 5 numbers, and a refiner that draws random numbers, in stages and with a loss of its own."""
    own = LossTerm(part=PartRef(name="mse"), weight=0.5)
    stages = (Stage(steps=5, losses=(own,)), Stage(steps=7))
    other = frozen("dropping", None, {"losses": (own,), "stages": stages}, **options)
    return [frozen(), frozen(prior=PartRef(name="random", options={"dim": 5})), other]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("plugin") / "dropping.py"
    file.write_text(PLUGIN)
    return str(file)


@pytest.fixture(scope="module")
def apart(prepared: Path, plugin: str, tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """A world in which the cells were trained one by one."""
    torch.set_num_threads(1)
    world = SmallWorld(Layout(tmp_path_factory.mktemp("apart"), prepared))
    train.run(world.train_job(BASE), world.context)
    cells = three()
    for cell in cells[:2]:
        prepare(world, cell)
    finish(world, plugin, cells)
    return world


@pytest.fixture
def started(world: SmallWorld, apart: SmallWorld) -> SmallWorld:
    """A world in which the base is trained and the vectors are there."""
    shutil.copytree(apart.layout.cell(BASE.id), world.layout.cell(BASE.id))
    return world


def context(world: SmallWorld, plugin: str) -> Context:
    return Context(world.layout, extend(REGISTRY, (plugin,)))


def job_of(world: SmallWorld, cells: Sequence[Cell], **changes: Any) -> Job:
    return world.job(TogetherWork(of=tuple(TrainWork(cell=cell) for cell in cells)), **changes)


def finish(world: SmallWorld, plugin: str, cells: Sequence[Cell]) -> None:
    for cell in cells:
        train.run(world.train_job(cell), context(world, plugin))


def assert_same(world: SmallWorld, other: SmallWorld, cells: Sequence[Cell]) -> None:
    for cell in cells:
        one, two = (each.layout.final_weights(cell.id).read_bytes() for each in (world, other))
        assert one == two, cell.id
        assert world.curve(cell) == other.curve(cell)
        mine, theirs = world.record(cell), other.record(cell)
        assert mine.training is not None
        assert theirs.training is not None
        unlike = {"seconds": mine.training.seconds, "together": mine.training.together}
        assert theirs.training.model_copy(update=unlike) == mine.training
        assert mine.provenance == theirs.provenance
        assert not list(world.layout.checkpoints(cell.id).glob("step-*"))


@pytest.fixture
def backbones(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each pass of a backbone from now on whether it was in training mode."""
    passes: list[bool] = []
    forward = NAFNet.forward

    def counted(self: NAFNet, lq_BCHW: torch.Tensor) -> torch.Tensor:
        passes.append(self.training)
        return forward(self, lq_BCHW)

    monkeypatch.setattr(NAFNet, "forward", counted)
    return passes


def test_three_cells_end_as_they_do_alone(
    started: SmallWorld, apart: SmallWorld, plugin: str, backbones: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = three()
    images: list[int] = []
    read = ShardSet.image

    def noted(stored: ShardSet, row: int, *given: Any) -> Any:
        images.append(row)
        return read(stored, row, *given)

    monkeypatch.setattr(ShardSet, "image", noted)
    backbones.clear()
    together.run(job_of(started, cells), context(started, plugin))
    assert len(backbones) == RECIPE.steps
    assert RECIPE.steps * RECIPE.batch <= len(images) < 2 * RECIPE.steps * RECIPE.batch  # some are read ahead
    for cell in cells:
        assert store.load(started.layout, cell.id) is None
        found = find_checkpoint(started.layout.checkpoints(cell.id))
        assert found is not None
        assert found.step == RECIPE.steps
    backbones.clear()
    finish(started, plugin, cells)
    assert not backbones
    assert_same(started, apart, cells)
    records = [started.record(cell).training for cell in cells]
    assert [each.together for each in records if each] == [3, 3, 3]


def test_a_cell_that_fails_drops_out_and_the_others_go_on(
    started: SmallWorld, apart: SmallWorld, plugin: str, caplog: pytest.LogCaptureFixture
) -> None:
    cells = three(fails_at=6)
    together.run(job_of(started, cells), context(started, plugin))
    assert f"cell {cells[2].id} is left to its own job" in caplog.text
    assert "it is tired" in caplog.text
    assert started.curve(cells[2])[-1][0] == 3
    finish(started, plugin, cells[:2])
    assert_same(started, apart, cells[:2])
    with pytest.raises(HarnessError, match="it is tired") as raised:  # from its checkpoint of step 4
        finish(started, plugin, cells[2:])
        finish(started, plugin, cells[2:])
    assert raised.value.kind == "plugin"


def test_a_cell_that_cannot_begin_is_left_to_its_own_job(
    started: SmallWorld, plugin: str, backbones: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    cells = [*three()[:2], frozen(prior=PartRef(name="random", options={"dim": 3}))]
    backbones.clear()
    together.run(job_of(started, cells), context(started, plugin))
    assert len(backbones) == RECIPE.steps
    assert f"cell {cells[2].id} is left to its own job" in caplog.text
    assert [len(started.curve(cell)) for cell in cells] == [4, 4, 0]


def test_those_furthest_behind_go_first(
    started: SmallWorld, apart: SmallWorld, plugin: str, backbones: list[bool]
) -> None:
    """One is at step 8, one at step 4, as after runs that were stopped; the third begins."""
    cells = three()
    for cell, last in zip(cells[:2], (8, 4), strict=True):
        stop_after(started, plugin, cell, last)
    backbones.clear()
    together.run(job_of(started, cells), context(started, plugin))
    assert len(backbones) == RECIPE.steps
    finish(started, plugin, cells)
    assert_same(started, apart, cells)


RECIPES: dict[str, dict[str, Any]] = {
    "an average, parts of a batch": {"ema": 0.9, "micro_batch": 2},
    "changed batches, half precision": {"grain": Grain(chance=0.5, sigma=0.1), "precision": "bf16"},
}


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_whatever_the_recipe_asks_for(
    started: SmallWorld, plugin: str, tmp_path: Path, backbones: list[bool], changes: dict[str, Any]
) -> None:
    """One of them with a prior that sees the crops themselves."""
    recipe = RECIPE.model_copy(update={"steps": 5} | changes)
    live = frozen(prior=PartRef(name="nss"), variant={"features": "live"})
    # vectors of whole images would be of those before a change
    first = frozen("dropping", None) if recipe.alters_inputs else frozen()
    cells = [each.model_copy(update={"recipe": recipe}) for each in (first, live)]
    other = SmallWorld(Layout(tmp_path / "apart", started.layout.data))
    shutil.copytree(started.layout.cell(BASE.id), other.layout.cell(BASE.id))
    finish(other, plugin, cells)
    passes = recipe.steps * (2 if recipe.micro_batch else 1)
    backbones.clear()
    together.run(job_of(started, cells), context(started, plugin))
    assert len(backbones) == passes
    finish(started, plugin, cells)
    assert_same(started, other, cells)


def stop_after(world: SmallWorld, plugin: str, cell: Cell, last: int) -> None:
    """Trains a cell as far as its checkpoint of a step."""
    with pytest.MonkeyPatch.context() as patch:
        steps = Training.steps

        def some(self: Training) -> Iterator[int]:
            for step in steps(self):
                yield step
                if step == last:
                    raise KeyboardInterrupt

        patch.setattr(Training, "steps", some)
        with pytest.raises(KeyboardInterrupt):
            train.run(world.train_job(cell), context(world, plugin))


def test_trained_cells_and_a_single_one_are_left_alone(started: SmallWorld, plugin: str, backbones: list[bool]) -> None:
    cells = three()
    finish(started, plugin, cells[:2])
    backbones.clear()
    together.run(job_of(started, cells), context(started, plugin))
    assert not backbones
    assert started.curve(cells[2]) == []


def test_it_is_the_only_try_of_its_cells_jobs(started: SmallWorld, plugin: str) -> None:
    """An earlier one that lives writes no more; nor does this one, when a cell has gone on elsewhere."""
    cells = three()[:2]
    attempts = [started.layout.job_attempt(started.train_job(cell).id) for cell in cells]
    write_text(attempts[0], "an earlier try")
    taken: list[int] = []
    steps = Training.steps

    def overtaken(self: Training) -> Iterator[int]:
        for step in steps(self):
            taken.append(step)
            yield step
            if len(taken) == 2 * 6:
                write_text(attempts[1], "a later try")

    with fenced(attempts[0], "an earlier try"):
        check_fence()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Superseded), fenced(Path("none"), ""):
            patch.setattr(Training, "steps", overtaken)
            together.run(job_of(started, cells), context(started, plugin))
        with pytest.raises(Superseded):
            check_fence()
    found = [find_checkpoint(started.layout.checkpoints(cell.id)) for cell in cells]
    assert [each.step for each in found if each] == [4, 4]  # nor does the other cell


def test_it_stops_for_all_its_cells_where_one_goes_on_in_another_group(started: SmallWorld, plugin: str) -> None:
    """A driver that died left it alive, and the next plan put one of its cells beside others."""
    cells = three()
    taken: list[int] = []
    steps = Training.steps

    def regrouped(self: Training) -> Iterator[int]:
        for step in steps(self):
            taken.append(step)
            yield step
            if len(taken) == 3:  # the first cell, before its second step: it is in no other job
                write_text(started.layout.job_attempt(started.train_job(cells[1]).id), "another group's")
            if len(taken) == 4:
                with pytest.raises(Superseded):
                    check_fence()

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Superseded):
        patch.setattr(Training, "steps", regrouped)
        together.run(job_of(started, cells), context(started, plugin))
    assert all(step <= 4 for step in taken)


def test_why_it_failed_is_not_remembered(started: SmallWorld, plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its cells' own jobs says what it meets."""

    def lost(self: Training) -> Iterator[int]:
        raise HarnessError("the disk is full", kind="storage")

    monkeypatch.setattr(Training, "steps", lost)
    job = job_of(started, three()[:2])
    outcome = run_job_file(str(started.write(job)))
    assert outcome.failure == "storage"
    note_outcome(job, started.layout, replace(outcome, noted=False))
    assert not started.layout.job_failure(job.id).exists()


KILLER = """
import sys
from harness.jobs.run import run_job_file
from tests.unit.training.gang import STEP, die_at

die_at(*STEP, int(sys.argv[2]))
run_job_file(sys.argv[1])
"""


@pytest.mark.parametrize("again", [True, False], ids=["gone on with together", "each alone"])
def test_killed_in_the_middle(started: SmallWorld, apart: SmallWorld, plugin: str, again: bool) -> None:
    """By a real SIGKILL, in the 7th step of the first cell, after the checkpoint of step 4."""
    cells = three()
    job = job_of(started, cells, plugins=(plugin,))
    command = [sys.executable, "-c", KILLER, str(started.write(job)), str(3 * 6 + 1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for cell in cells:
        found = find_checkpoint(started.layout.checkpoints(cell.id))
        assert found is not None
        assert found.step == 4
    if again:
        assert run_job_file(str(started.write(job))).failure is None
    for cell in cells:
        own = started.train_job(cell, plugins=(plugin,))
        assert run_job_file(str(started.write(own))).failure is None
        attempt = started.record(cell).attempts[-1]
        assert (attempt.outcome, attempt.resumed_at) == ("done", RECIPE.steps if again else 4)
    assert_same(started, apart, cells)


def test_side_by_side_with_other_jobs_it_holds_all_its_cells(
    started: SmallWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    cells = three()[:2]
    file = started.write(job_of(started, cells))
    with side_lock(started.layout, cells[1].id):
        assert run_one([str(file), "--beside"]) == 1
    assert "another run is using this folder" in capfd.readouterr().err
