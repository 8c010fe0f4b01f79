"""A small world over the data sets of `tests.report_sets`, an output and a data folder for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.sets import Samples
from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.core.registry import Entry
from harness.jobs import evaluate, shards, train
from harness.jobs.context import Context
from harness.planning.job import Job, ShardsWork
from tests.report_sets import dataset, report_registry
from tests.small_world import RECIPE, SmallWorld, small_cell

RECIPE_HERE = RECIPE.model_copy(update={"steps": 1, "batch": 2})


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    torch.set_num_threads(1)
    return SmallWorld(Layout(tmp_path / "out", tmp_path / "data"))


def context(world: SmallWorld, *entries: Entry) -> Context:
    return Context(world.layout, report_registry().extended(entries))


def cell_of(name: str = "plain", **changes: Any) -> Cell:
    return small_cell(train=dataset(name), recipe=RECIPE_HERE, **changes)


def held_out(cell: Cell, *names: str) -> tuple[Samples, ...]:
    return tuple(cell.test_set(dataset(name)).samples() for name in names)


def prepare(world: SmallWorld, *sets: Samples) -> None:
    for samples in sets:
        shards.run(world.job(ShardsWork(stored=samples.stored)), context(world))


def trained(world: SmallWorld) -> Cell:
    cell = cell_of()
    prepare(world, cell.train_samples)
    train.run(world.train_job(cell), context(world))
    return cell


def refused(world: SmallWorld, job: Job, *entries: Entry) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        evaluate.run(job, context(world, *entries))
    return caught.value
