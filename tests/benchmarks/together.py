"""Four refiners behind one frozen backbone: trained in one job, against one after the other.

`python -m tests.benchmarks.together [STEPS]`. A Restormer of a quarter of its width with half its blocks, and the
published one; PTG-RM with four random priors; the real jobs, on one thread of the CPU. What is compared is the
processor time from one step's end to the next one's, the median over the steps: with reading, losses and optimizers.
The weights of both ways are compared, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Recipe
from harness.core.paths import Layout
from harness.jobs import together, train
from harness.planning.job import TogetherWork, TrainWork
from harness.training.loop import Training
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


@contextmanager
def stepping() -> Iterator[list[list[float]]]:
    """Gives the processor times at the end of each step, for every training inside."""
    found: list[list[float]] = []
    steps = Training.steps

    def timed(self: Training) -> Iterator[int]:
        own: list[float] = []
        found.append(own)
        for step in steps(self):
            own.append(time.process_time())
            yield step

    with patch.object(Training, "steps", timed):
        yield found


def between(ends: Sequence[float]) -> float:
    return median(later - earlier for earlier, later in pairwise(ends))


def weights(world: SmallWorld, of: Sequence[Cell]) -> list[bytes]:
    for cell in of:
        train.run(world.train_job(cell, run=RUNS), world.context)
    return [world.layout.final_weights(cell.id).read_bytes() for cell in of]


def compare(name: str, steps: int) -> None:
    base, refined = cells(NETWORKS[name], steps)
    with TemporaryDirectory() as place:
        data = Path(place) / "data"
        for cell in refined:
            prepare(SmallWorld(Layout(Path(place) / "prepared", data)), cell)
        apart, beside = (SmallWorld(Layout(Path(place) / way, data)) for way in ("apart", "beside"))
        for world in (apart, beside):
            weights(world, [base])
        with stepping() as ends:
            alone = weights(apart, refined)
        one_by_one = sum(map(between, ends))
        work = TogetherWork(of=tuple(TrainWork(cell=cell) for cell in refined))
        with stepping() as ends:
            together.run(beside.job(work, run=RUNS), beside.context)
        at_once = between(ends[0])
        same = "the same weights" if weights(beside, refined) == alone else "OTHER WEIGHTS"
    print(f"{name}, {len(DIMS)} refiners, a step of all: {1000 * one_by_one:.0f} ms one after the other, ", end="")
    print(f"{1000 * at_once:.0f} ms together: {one_by_one / at_once:.2f} times as fast, {same}", flush=True)


def main(steps: int) -> None:
    torch.set_num_threads(1)
    for name in NETWORKS:
        compare(name, steps)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
