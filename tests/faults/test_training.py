"""Training that is killed, starved of disk, or given damaged checkpoints ends with the same bytes, or says why not.

The killed process is a real one, the signal a real SIGKILL. It is raised from inside, at a named place of the code, so
that every run of the test kills at the same point; one test kills from outside, whenever it happens to hit.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from harness.cells.cell import Cell
from harness.cells.recipe import Grain, Mixup, Stage
from harness.core.paths import Layout
from harness.jobs.run import run_job_file
from harness.records import store
from tests.small_world import RECIPE, SmallWorld, refined_cell, small_cell
from tests.unit.training.gang import STEP

KILLER = """
import sys
from harness.jobs.run import run_job_file
from tests.unit.training.gang import die_at

die_at(sys.argv[2], sys.argv[3], int(sys.argv[4]))
run_job_file(sys.argv[1])
"""

KILLS = {
    # Checkpoints every 4 steps, lines every 3, 12 steps: the loss since the last line must survive too.
    "before the first checkpoint": (*STEP, 3, None),
    "between checkpoints": (*STEP, 7, 4),
    "inside a checkpoint": ("harness.training.checkpoint", "write_json", 2, 4),
    "after a checkpoint, before its event": (*STEP, 9, 8),
    "with the final weights written, before the record": ("harness.jobs.train", "provenance", 1, 8),
}


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """The world in which nothing happened."""
    world = SmallWorld(Layout(tmp_path_factory.mktemp("uninterrupted"), prepared))
    assert run_job_file(str(world.write(world.train_job(refined_cell())))).failure is None
    return world


def final(world: SmallWorld, cell: Cell) -> Path:
    return world.layout.checkpoints(cell.id) / "final.safetensors"


def steps(world: SmallWorld, cell: Cell) -> list[str]:
    return sorted(path.name for path in world.layout.checkpoints(cell.id).glob("step-*"))


def kill_at(world: SmallWorld, cell: Cell, module: str, name: str, call: int) -> None:
    path = world.write(world.train_job(cell))
    command = [sys.executable, "-c", KILLER, str(path), module, name, str(call)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def assert_same(world: SmallWorld, reference: SmallWorld, cell: Cell) -> None:
    assert final(world, cell).read_bytes() == final(reference, cell).read_bytes()
    assert world.curve(cell) == reference.curve(cell)
    mine, theirs = world.record(cell).training, reference.record(cell).training
    assert mine is not None
    assert theirs is not None
    assert mine.model_copy(update={"seconds": theirs.seconds}) == theirs
    assert steps(world, cell) == []


@pytest.mark.parametrize("where", KILLS)
def test_killed_and_resumed_equals_uninterrupted(world: SmallWorld, uninterrupted: SmallWorld, where: str) -> None:
    module, name, call, resumed_at = KILLS[where]
    cell = refined_cell()
    kill_at(world, cell, module, name, call)
    assert world.layout.record(cell.id).exists() is False
    outcome = run_job_file(str(world.layout.job_file(f"train-{cell.id}")))
    assert outcome.failure is None
    assert_same(world, uninterrupted, cell)
    assert world.record(cell).attempts[-1].resumed_at == resumed_at


def test_a_killed_average_and_killed_mixing_go_on_where_they_were(world: SmallWorld, tmp_path: Path) -> None:
    changes = {"ema": 0.9, "mixup": Mixup(alpha=1.2), "grain": Grain(chance=0.5, sigma=0.05), "optimizer": "radam"}
    stages = (Stage(steps=5), Stage(steps=7, restart=True))
    cell = small_cell(recipe=RECIPE.model_copy(update={**changes, "rates": {"backbone.intro": 0.5}, "stages": stages}))
    reference = SmallWorld(Layout(tmp_path / "reference", world.layout.data))
    assert run_job_file(str(reference.write(reference.train_job(cell)))).failure is None
    kill_at(world, cell, *STEP, 10)
    assert run_job_file(str(world.layout.job_file(f"train-{cell.id}"))).failure is None
    assert world.record(cell).attempts[-1].resumed_at == 8
    assert_same(world, reference, cell)


def test_killed_twice(world: SmallWorld, uninterrupted: SmallWorld) -> None:
    cell = refined_cell()
    for call in (6, 3):
        kill_at(world, cell, *STEP, call)
    assert run_job_file(str(world.layout.job_file(f"train-{cell.id}"))).failure is None
    assert_same(world, uninterrupted, cell)


def test_killed_from_outside_at_any_moment(world: SmallWorld, uninterrupted: SmallWorld) -> None:
    cell = refined_cell()
    path = world.write(world.train_job(cell))
    process = subprocess.Popen([sys.executable, "-m", "harness.jobs", str(path)], stderr=subprocess.DEVNULL)
    while process.poll() is None and not world.curve(cell):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert run_job_file(str(path)).failure is None
    assert_same(world, uninterrupted, cell)


def test_a_damaged_newest_checkpoint_costs_its_steps_only(world: SmallWorld, uninterrupted: SmallWorld) -> None:
    cell = refined_cell()
    kill_at(world, cell, *STEP, 10)
    assert steps(world, cell) == ["step-00000004", "step-00000008"]
    damage(world.layout.checkpoints(cell.id) / "step-00000008" / "model.safetensors")
    assert run_job_file(str(world.layout.job_file(f"train-{cell.id}"))).failure is None
    assert_same(world, uninterrupted, cell)
    assert world.record(cell).attempts[-1].resumed_at == 4
    (warning,) = [line for line in store.read_events(world.layout, cell.id) if line["event"] == "warning"]
    assert "step-00000008: model.safetensors" in warning["message"]


def test_only_damaged_checkpoints_fail_the_cell(world: SmallWorld) -> None:
    cell = refined_cell()
    kill_at(world, cell, *STEP, 10)
    for name in steps(world, cell):
        damage(world.layout.checkpoints(cell.id) / name / "training.pt")
    outcome = run_job_file(str(world.layout.job_file(f"train-{cell.id}")))
    assert outcome.failure == "checkpoint"
    assert "delete this folder" in outcome.message
    assert world.record(cell).status == "failed"
    shutil.rmtree(world.layout.checkpoints(cell.id))
    assert run_job_file(str(world.layout.job_file(f"train-{cell.id}"))).failure is None


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def assert_finite(world: SmallWorld, cell: Cell) -> None:
    """No file of a checkpoint holds a number that is not finite."""
    assert not final(world, cell).exists()
    for name in steps(world, cell):
        state = torch.load(world.layout.checkpoints(cell.id) / name / "training.pt", weights_only=True)
        moments = [value for entry in state["optimizer"]["state"].values() for value in entry.values()]
        assert moments
        assert all(torch.isfinite(moment).all() for moment in moments)


def test_a_nan_loss_fails_the_cell_with_its_step(world: SmallWorld) -> None:
    """The rate rises until the network bursts, some time after the first checkpoint."""
    recipe = RECIPE.model_copy(update={"steps": 60, "warmup": 60, "lr": 1e20})
    cell = small_cell(recipe=recipe)
    outcome = run_job_file(str(world.write(world.train_job(cell))))
    assert outcome.failure == "nan"
    assert "finite" in outcome.message
    assert "step" in outcome.message
    record = world.record(cell)
    assert (record.status, record.training) == ("failed", None)
    assert_finite(world, cell)
    assert all(isinstance(loss, float) and loss < float("inf") for _, loss, _ in world.curve(cell))


def test_weights_that_burst_under_a_finite_loss_are_never_written(world: SmallWorld) -> None:
    """One step of an infinite rate: its loss was taken before the weights moved."""
    cell = small_cell(recipe=RECIPE.model_copy(update={"steps": 1, "lr": 1e39}))
    outcome = run_job_file(str(world.write(world.train_job(cell))))
    assert outcome.failure == "nan"
    assert "a weight stopped being a finite number" in outcome.message
    assert len(world.curve(cell)) == 1
    assert_finite(world, cell)


STARVED = """
import json, os, sys
from pathlib import Path
from harness.jobs.run import run_job_file

job_file = sys.argv[1]
out = Path(job_file).parent.parent
filler = out / ".filler"
Path(job_file).parent.mkdir()
Path(job_file).write_text(sys.argv[2])
space = os.statvfs(out)
filler.write_bytes(bytes(space.f_bavail * space.f_frsize - 24576))
first = run_job_file(job_file)
filler.unlink()
half = [str(path) for path in out.rglob("*") if path.name.startswith(("step-", "final", "."))]
second = run_job_file(job_file)
final = next(out.rglob("final.safetensors"))
import hashlib
print(json.dumps([first.failure, first.message, half, second.failure, hashlib.sha256(final.read_bytes()).hexdigest()]))
"""


def test_a_full_disk_fails_the_cell_and_leaves_nothing_half_written(world: SmallWorld, tmp_path: Path) -> None:
    """On a tmpfs of 4 MiB in a mount namespace of its own."""
    cell = small_cell()
    reference = SmallWorld(Layout(tmp_path / "reference", world.layout.data))
    assert run_job_file(str(reference.write(reference.train_job(cell)))).failure is None
    job = world.train_job(cell)
    world.layout.out.mkdir()
    mount = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'
    space = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(world.layout.out)]
    if shutil.which("unshare") is None or subprocess.run([*space, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no mount namespace")
    script = [sys.executable, "-c", STARVED, str(world.layout.job_file(job.id)), job.model_dump_json()]
    done = subprocess.run([*space, *script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    failure, message, half, second, sha256 = json.loads(done.stdout.splitlines()[-1])
    assert failure == "storage"
    assert "the disk is full" in message
    assert half == []
    assert second is None
    assert sha256 == reference.record(cell).training.checkpoint_sha256  # type: ignore[union-attr]
