"""Two processes train as one does: the same images per step, the same loss curve up to the order of sums."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.api.reference import PartRef
from harness.cells.recipe import LossTerm
from harness.core.paths import Layout
from harness.jobs import train
from tests.small_world import RECIPE, SmallWorld, refined_cell

SCRIPT = """
import sys
from pathlib import Path
from harness.core.paths import Layout
from harness.jobs import train
from harness.jobs.context import Context
from harness.jobs.run import read_job
from harness.parts.catalogue import REGISTRY

job = read_job(Path(sys.argv[1]))
train.run(job, Context(Layout(Path(job.out), Path(job.data)), REGISTRY))
"""


@pytest.mark.parametrize("reduction", ["mean", pytest.param("sum", marks=pytest.mark.slow)])
def test_two_processes_equal_one(world: SmallWorld, tmp_path, reduction: str) -> None:
    loss = PartRef(name="charbonnier", options={"eps": 1e-3, "reduction": reduction})
    changes = {"losses": (LossTerm(part=loss),), "optimizer": "adam", "clip_grad": 0.5, "micro_batch": 1}
    cell = refined_cell().model_copy(update={"recipe": RECIPE.model_copy(update=changes)})
    script = tmp_path / "ranks.py"
    script.write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(script), str(world.write(world.train_job(cell)))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

    alone = SmallWorld(Layout(tmp_path / "alone", world.layout.data))
    train.run(alone.train_job(cell), alone.context)
    two, one = world.curve(cell), alone.curve(cell)
    assert [step for step, _, _ in two] == [3, 6, 9, 12]
    assert [value for _, value, _ in two] == pytest.approx([value for _, value, _ in one], rel=2e-3)
    record = world.record(cell)
    assert record.training is not None
    assert record.training.images == 48
