"""Several processes train as one does: the same samples, the same loss curve and weights to rounding, and so on.

Numbers: of a loss line, as a share of it; of a weight, absolute.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import Grain, LossTerm, Mixup, Stage
from harness.core.paths import Layout
from harness.jobs.provenance import trains_on
from harness.jobs.run import run_job_file
from harness.parts.catalogue import REGISTRY
from harness.records import store
from harness.records.model import Leg
from tests.small_world import RECIPE, RUN, SmallWorld, refined_cell, small_cell
from tests.unit.training.gang import STEP, run_together
from tests.unit.training.sampled_cells import SMALL

pytestmark = pytest.mark.xdist_group("ranks")  # its trainings are made once, for all tests


def with_recipe(cell: Cell, **changes: object) -> Cell:
    return cell.model_copy(update={"recipe": RECIPE.model_copy(update=changes)})


def charbonnier(**options: object) -> LossTerm:
    return LossTerm(part=PartRef(name="charbonnier", options={"eps": 1e-3, **options}))


def of_network(name: str) -> Cell:
    """A network with the losses that its authors train it with, where it declares some."""
    uses = declaration(REGISTRY, "backbone", name).traits.losses
    losses = tuple(LossTerm(part=PartRef(name=use.name, options=dict(use.options)), weight=use.weight) for use in uses)
    options = {option: values[0] for option, values in SMALL[name].items()}
    cell = small_cell(backbone=PartRef(name=name, options=options))
    return with_recipe(cell, steps=6, losses=losses or RECIPE.losses)


ADVERSARY = LossTerm(part=PartRef(name="enlightengan", options={"width": 4, "patch": 16, "patches": 2}), weight=0.1)
STAGES = (
    Stage(steps=18, trains=("backbone.intro",)),
    Stage(steps=12),
    Stage(steps=20, restart=True, trains=("backbone.ending", "backbone.encoders")),
)
CELLS = {
    "all at once": with_recipe(
        small_cell(),
        steps=50,
        stages=STAGES,
        ema=0.9,
        mixup=Mixup(alpha=1.2),
        grain=Grain(chance=0.5, sigma=0.05),
        optimizer="radam",
        rates={"backbone.intro": 0.5},
        micro_batch=1,
        clip_grad=0.5,
    ),
    "refined, sum": with_recipe(refined_cell(), losses=(charbonnier(reduction="sum"),), micro_batch=2, clip_grad=0.5),
    "adversary": with_recipe(small_cell(), losses=(charbonnier(), ADVERSARY), steps=9),
}
BASE = small_cell()
MORE = {
    "base": BASE,
    "joint, 50 steps": with_recipe(refined_cell(), steps=50, micro_batch=1, optimizer="adam", clip_grad=0.5),
    "frozen": refined_cell(regime="frozen").model_copy(update={"base": BASE}),
    "from_base": refined_cell(regime="from_base").model_copy(update={"base": BASE}),
    "live": refined_cell(PartRef(name="nss"), features="live"),
    "bf16": with_recipe(small_cell(), precision="bf16"),
    "ruas": of_network("ruas"),
    "uretinex": of_network("uretinex"),
    "zero_dce": of_network("zero_dce"),
}
ELASTIC = with_recipe(refined_cell(), ema=0.9, losses=(charbonnier(), ADVERSARY), optimizer="adam")
"""Checkpoints come every four steps, lines every three: the loss since the last line must go over as well."""


@dataclass
class Worlds:
    """The same cells trained by one process and by several."""

    one: SmallWorld
    several: SmallWorld

    def apart(self, cell: Cell) -> tuple[float, float]:
        """The largest differences of the loss lines and of the weights."""
        ours, theirs = self.several.curve(cell), self.one.curve(cell)
        assert [(step, rate) for step, _, rate in ours] == [(step, rate) for step, _, rate in theirs]
        losses = [abs(a - b) / abs(b) for (_, a, _), (_, b, _) in zip(ours, theirs, strict=True)]
        mine, other = weights(self.several, cell), weights(self.one, cell)
        return max(losses), max(float((mine[name] - other[name]).abs().max()) for name in other)


def weights(world: SmallWorld, cell: Cell) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in load_file(world.layout.final_weights(cell.id)).items()}


def trained_alone(folder: Path, data: Path, *cells: Cell) -> SmallWorld:
    world = SmallWorld(Layout(folder, data))
    for cell in cells:
        assert run_job_file(str(world.write(world.train_job(cell)))).failure is None
    return world


@pytest.fixture(scope="module")
def worlds(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Two processes that train all cells in one go, and are killed in the tenth step of the last one, ELASTIC."""
    folder = tmp_path_factory.mktemp("ranks")
    two = SmallWorld(Layout(folder / "two", prepared))
    run = RUN.model_copy(update={"processes": 2})
    files = [two.write(two.train_job(cell, run=run)) for cell in (*CELLS.values(), ELASTIC)]
    before = sum(cell.recipe.steps for cell in CELLS.values())
    kill = (*STEP, before + 10)
    assert run_together(files, 2, {0: kill, 1: kill}) == []
    return Worlds(trained_alone(folder / "one", prepared, *CELLS.values(), ELASTIC), two)


@pytest.mark.parametrize("name", CELLS)
def test_two_processes_equal_one(worlds: Worlds, name: str) -> None:
    cell = CELLS[name]
    losses, moved = worlds.apart(cell)
    assert losses < 1e-5
    assert moved < 1e-3
    training = worlds.several.record(cell).training
    assert training is not None
    assert (training.processes, training.images) == (2, cell.recipe.images)
    assert worlds.several.layout.job_log(f"train-{cell.id}", 1).is_file()
    attempts = worlds.several.record(cell).attempts
    assert [attempt.outcome for attempt in attempts] == ["done"]


def resumed(worlds: Worlds, folder: Path, ranks: int) -> Worlds:
    """What so many processes make of the training that two have left; one trains it whole, whatever the strategy."""
    shutil.copytree(worlds.several.layout.out, folder)
    world = SmallWorld(Layout(folder, worlds.several.layout.data))
    assert [step for step, _, _ in world.curve(ELASTIC)] == [3, 6, 9]
    strategy = "fsdp2" if ranks == 1 else "ddp"
    file = world.write(world.train_job(ELASTIC, run=RUN.model_copy(update={"processes": ranks, "strategy": strategy})))
    if ranks == 1:
        assert run_job_file(str(file)).failure is None
    else:
        assert [[each.failure for each in said] for said in run_together([file], ranks)] == [[None]] * ranks
    assert world.record(ELASTIC).attempts[-1].resumed_at == 8
    return Worlds(worlds.one, world)


@pytest.mark.parametrize("ranks", [1, *(pytest.param(ranks, marks=pytest.mark.slow) for ranks in (2, 4))])
def test_what_two_processes_left_goes_on_in_any_number(worlds: Worlds, tmp_path: Path, ranks: int) -> None:
    went_on = resumed(worlds, tmp_path / "out", ranks)
    losses, moved = went_on.apart(ELASTIC)
    assert losses < 1e-5
    assert moved < 1e-3
    record = went_on.several.record(ELASTIC)
    assert record.training is not None
    assert record.training.processes == ranks
    others = [] if ranks == 2 else [Leg(after=8, processes=ranks, strategy="ddp" if ranks > 1 else None, **trains_on())]
    assert record.training.legs == (Leg(after=0, processes=2, strategy="ddp", **trains_on()), *others)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_networks_regimes_and_precisions_are_the_same_in_several(prepared: Path, tmp_path: Path, ranks: int) -> None:
    cells = MORE if ranks == 2 else CELLS | MORE
    several = SmallWorld(Layout(tmp_path / "several", prepared))
    run = RUN.model_copy(update={"processes": ranks})
    said = run_together([several.write(several.train_job(cell, run=run)) for cell in cells.values()], ranks)
    assert {outcome.failure for outcomes in said for outcome in outcomes} == {None}, said
    found = Worlds(trained_alone(tmp_path / "one", prepared, *cells.values()), several)
    apart = {name: found.apart(cell) for name, cell in cells.items()}
    print(ranks, {name: f"{losses:.1e} {moved:.1e}" for name, (losses, moved) in apart.items()})
    for name, (losses, moved) in apart.items():
        assert losses < (3e-4 if name == "bf16" else 1e-5), (name, losses)
        assert moved < 5e-3, (name, moved)


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "strategy"), [(1, "ddp"), (4, "fsdp2")])
def test_what_other_processes_left_goes_on_in_two(
    prepared: Path, worlds: Worlds, tmp_path: Path, ranks: int, strategy: str
) -> None:
    """`ranks` processes begin under DDP; two go on, under the same form or another one."""
    world = SmallWorld(Layout(tmp_path / "out", prepared))
    run = RUN.model_copy(update={"processes": ranks})
    begun = world.write(world.train_job(ELASTIC, run=run))
    assert run_together([begun], ranks, dict.fromkeys(range(ranks), (*STEP, 10))) == []
    run = RUN.model_copy(update={"processes": 2, "strategy": strategy})
    file = world.write(world.train_job(ELASTIC, run=run))
    assert [[each.failure for each in said] for said in run_together([file], 2)] == [[None]] * 2
    assert world.record(ELASTIC).attempts[-1].resumed_at == 8
    losses, moved = Worlds(worlds.one, world).apart(ELASTIC)
    assert losses < 1e-5
    assert moved < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "module", "name", "call", "resumed_at"),
    [
        (1, *STEP, 7, 4),
        (0, "harness.training.checkpoint", "write_json", 2, 4),
        (1, "harness.training.resume", "random_state", 2, 4),
    ],
)
def test_a_killed_rank_ends_the_job_which_goes_on_bit_for_bit(
    prepared: Path, tmp_path: Path, victim: int, module: str, name: str, call: int, resumed_at: int
) -> None:
    """The one that is left says that a worker was lost, and leaves nothing half written."""
    run = RUN.model_copy(update={"processes": 2, "patience": 30})
    whole, broken = (SmallWorld(Layout(tmp_path / each, prepared)) for each in ("whole", "broken"))
    files = [world.write(world.train_job(ELASTIC, run=run)) for world in (whole, broken)]
    [[left]] = run_together(files[1:], 2, {victim: (module, name, call)})
    assert left.failure == "worker_lost", left.message
    run_together(files, 2)
    assert broken.layout.final_weights(ELASTIC.id).read_bytes() == whole.layout.final_weights(ELASTIC.id).read_bytes()
    assert broken.curve(ELASTIC) == whole.curve(ELASTIC)
    assert broken.record(ELASTIC).attempts[-1].resumed_at == resumed_at
    assert sorted(path.name for path in broken.layout.checkpoints(ELASTIC.id).iterdir()) == ["final.safetensors"]
    events = [line["event"] for line in store.read_events(broken.layout, ELASTIC.id)]
    assert events.count("end") == 1
