"""Four refiners behind one frozen backbone: trained in one job, against one after the other.

`python -m tests.benchmarks.together [STEPS]`. A Restormer of a quarter of its width with half its blocks, and the
published one; PTG-RM with four random priors; the real jobs, on one thread of the CPU. What is compared is the
processor time of the steps, with reading, losses and optimizers: that of jobs of 1 + STEPS steps less that of jobs of
one step. The weights of both ways are compared, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Recipe
from harness.core.paths import Layout
from harness.jobs import together, train
from harness.planning.job import TogetherWork, TrainWork
from tests.small_world import RUN, SmallWorld, prepare, small_cell

NETWORKS = {
    "a small Restormer": {"dim": 12, "num_blocks": [2, 3, 3, 4], "num_refinement_blocks": 2},
    "Restormer": {},
}
DIMS = (8, 12, 16, 20)
RUNS = RUN.model_copy(update={"checkpoint_every": 1_000_000, "log_every": 1_000_000})


def cells(options: dict[str, Any], steps: int) -> tuple[Cell, list[Cell]]:
    """The base, and four refiners that train behind it."""
    backbone = PartRef(name="restormer", options=options)
    recipe = Recipe(steps=steps, batch=2, patch=64)
    base = small_cell(backbone=backbone, recipe=recipe.model_copy(update={"steps": 1}))
    priors = [PartRef(name="random", options={"dim": dim}) for dim in DIMS]
    variants = [Variant(refiner=PartRef(name="ptg_rm"), prior=prior, regime="frozen") for prior in priors]
    return base, [small_cell(backbone=backbone, recipe=recipe, variant=each, base=base) for each in variants]


def finish(world: SmallWorld, of: Sequence[Cell]) -> list[bytes]:
    for cell in of:
        train.run(world.train_job(cell, run=RUNS), world.context)
    return [world.layout.final_weights(cell.id).read_bytes() for cell in of]


def seconds(world: SmallWorld, base: Cell, of: Sequence[Cell], *, at_once: bool) -> tuple[float, list[bytes]]:
    """The processor time of training all cells, and their weights."""
    finish(world, [base])
    began = time.process_time()
    if at_once:
        work = TogetherWork(of=tuple(TrainWork(cell=cell) for cell in of))
        together.run(world.job(work, run=RUNS), world.context)
    weights = finish(world, of)
    return time.process_time() - began, weights


def compare(name: str, steps: int) -> None:
    with TemporaryDirectory() as place:
        data = Path(place) / "data"
        taken: dict[tuple[int, bool], float] = {}
        found: dict[bool, list[bytes]] = {}
        for number in (1, 1 + steps):
            base, refined = cells(NETWORKS[name], number)
            for cell in refined:
                prepare(SmallWorld(Layout(Path(place) / "prepared", data)), cell)
            for at_once in (False, True):
                world = SmallWorld(Layout(Path(place) / f"{number}-{at_once}", data))
                taken[number, at_once], found[at_once] = seconds(world, base, refined, at_once=at_once)
    apart, beside = ((taken[1 + steps, way] - taken[1, way]) / steps for way in (False, True))
    same = "the same weights" if found[False] == found[True] else "OTHER WEIGHTS"
    print(f"{name}, {len(DIMS)} refiners, a step of all: {1000 * apart:.0f} ms one after the other, ", end="")
    print(f"{1000 * beside:.0f} ms together: {apart / beside:.2f} times as fast, {same}", flush=True)


def main(steps: int) -> None:
    torch.set_num_threads(1)
    for name in NETWORKS:
        compare(name, steps)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
