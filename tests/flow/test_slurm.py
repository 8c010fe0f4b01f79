"""The launchers for Slurm, on a real one: two nodes on loopback, jobs that are stopped and put in the queue again."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.bench import Bench
from tests.flow.slurm import Slurm, missing_programs, running
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(missing_programs()), reason=f"Slurm is not installed: no {missing_programs()}"),
]

LAUNCHERS = Path(__file__).parents[2] / "launchers" / "slurm"

SUITE = """
suite: stopped
run: {checkpoint_every: 10, log_every: 5, samples: 0}
defaults:
  dataset: photos
  seeds: [0]
  recipe: {steps: STEPS, batch: 2, patch: 64, augment: flip, lr: 2e-3}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1], label: NAFNet-8}
    variant: base
"""

HELD = """
import time
from pathlib import Path
from torch import Tensor, nn
from harness.api.loss import LossTraits, LossInputs


class Held(nn.Module):
    traits = LossTraits(takes="inputs")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, inputs: LossInputs) -> Tensor:
        while inputs.step >= 25 and not Path({marker!r}).exists():
            time.sleep(0.1)
        return (inputs.restored_BCHW - inputs.gt_BCHW).abs().mean()


CATALOGUE = (("loss", "held", "Held"),)
"""
"""A loss that waits from a step on until a file is there."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with tempfile.TemporaryDirectory(prefix="sl") as folder, running(Path(folder)) as cluster:  # short: it has sockets
        yield cluster


@pytest.fixture
def account(bench: Bench) -> Bench:
    """What a user has on a login node: `bench` and `python` in PATH, in a home folder of the test's own."""
    root = Path(__file__).parents[2]
    bench.environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
    }
    return bench


def suite_file(folder: Path, steps: int) -> Path:
    file = folder / "stopped.yaml"
    file.write_text(SUITE.replace("STEPS", str(steps)), encoding="utf-8")
    return file


def events(out: Path) -> list[dict[str, Any]]:
    """What the trainings of a folder have said so far."""
    lines = [line for file in out.glob("cells/*/events.jsonl") for line in file.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["kind"] == "train"]


def await_step(out: Path, step: int, slurm: Slurm, job: str, patience: float = 200.0) -> None:
    deadline = time.monotonic() + patience
    while not any(event.get("step", 0) >= step for event in events(out)):
        assert time.monotonic() < deadline, slurm.logs()
        assert slurm.states(job) & {"PENDING", "RUNNING", "CONFIGURING"}, slurm.logs()
        time.sleep(0.1)


def table(bench: Bench, out: Path) -> str:
    return bench.ok("leaderboard", out, "--format", "csv")


def undisturbed(bench: Bench, suite: Path, out: Path) -> str:
    bench.ok("run", suite, "--out", out, "--tracker", "none", "--executor", "local")
    return table(bench, out)


def restarts(slurm: Slurm, job: str) -> list[int]:
    return [int(one["Restarts"]) for one in slurm.jobs(job)]


def leftovers(job: str) -> list[str]:
    return [path.name for path in Path("/tmp").glob(f"pb-{job}-*")]


def submit(slurm: Slurm, bench: Bench, suite: Path, out: Path, *options: str, nodes: int = 2) -> str:
    words: list[str | Path] = [f"--nodes={nodes}", "--cpus-per-task=1", *options, LAUNCHERS / "bench.sbatch", suite]
    return slurm.sbatch(*words, "--out", out, "--tracker", "none", env=bench.env(), cwd=bench.cwd)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_that_is_signalled_requeues_itself_and_ends_with_the_same_table(slurm, account, tmp_path, nodes):
    """The limit's signal, sent by hand: Slurm's own limits count minutes."""
    suite, out = suite_file(tmp_path, steps=150), tmp_path / "out"
    before = set(leftovers("*"))
    job = submit(slurm, account, suite, out, nodes=nodes)
    await_step(out, 10, slurm, job)
    slurm.run("scancel", "--batch", "--signal=USR1", job)
    states = slurm.ended(job, 300)
    log = (tmp_path / f"priorbench-{job}.log").read_text()
    assert states == {"COMPLETED"}, log
    assert restarts(slurm, job) == [1]
    assert log.count(f"Ray is up on {nodes} node") == 2
    assert "stopped; the same command resumes" in log
    assert "putting the job in the queue again" in log
    starts = [event["step"] for event in events(out) if event["event"] == "start"]
    assert len(starts) == 2
    assert starts[0] == 0 < starts[1]  # from its checkpoint
    assert set(leftovers("*")) <= before
    assert table(account, out) == undisturbed(account, suite, tmp_path / "alone")


@pytest.mark.slow
def test_a_job_that_is_cancelled_stays_so_and_can_be_gone_on_with(slurm, account, tmp_path):
    suite, out = suite_file(tmp_path, steps=150), tmp_path / "out"
    before = set(leftovers("*"))
    job = submit(slurm, account, suite, out)
    await_step(out, 10, slurm, job)
    slurm.run("scancel", "--full", job)
    assert slurm.ended(job, 100) == {"CANCELLED"}
    assert restarts(slurm, job) == [0]
    assert set(leftovers("*")) <= before
    again = account.ok("run", suite, "--out", out, "--tracker", "none", "--executor", "local")
    assert "0 done before" not in again
    assert table(account, out) == undisturbed(account, suite, tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_time_limit_itself(slurm, account, tmp_path):
    """Slurm counts minutes, and sends the signal up to a minute early: the training waits for it, past its middle."""
    (tmp_path / "held.py").write_text(HELD.format(marker=str(tmp_path / "go on")), encoding="utf-8")
    suite, out = suite_file(tmp_path, steps=60), tmp_path / "out"
    suite.write_text(suite.read_text().replace("lr: 2e-3", "lr: 2e-3, losses: [held]") + "plugins: [held.py]\n")
    job = submit(slurm, account, suite, out, "--time=4", "--signal=B:USR1@60")
    await_step(out, 20, slurm, job)
    wait_for(lambda: restarts(slurm, job) == [1], "the job is not put in the queue again", 300, said=slurm.logs)
    (tmp_path / "go on").write_text("")
    states = slurm.ended(job, 600)
    log = (tmp_path / f"priorbench-{job}.log").read_text()
    assert states == {"COMPLETED"}, log
    assert "the time limit is near" in log
    starts = [event["step"] for event in events(out) if event["event"] == "start"]
    assert (starts[0], starts[1] >= 20) == (0, True)
    assert table(account, out) == undisturbed(account, suite, tmp_path / "alone")


@pytest.mark.slow
def test_an_array_of_plain_jobs_gives_the_same_table(slurm, account, tmp_path):
    suite, out = suite_file(tmp_path, steps=60), tmp_path / "out"
    env = account.env() | {"TASKS": "2"}
    said = slurm.run(LAUNCHERS / "array.sbatch", suite, "--out", out, "--", "--time=10", env=env, cwd=tmp_path)
    arrays = [line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("array ")]
    assert len(arrays) == 4  # sets, degraded sets, trainings, evaluations
    await_step(out, 10, slurm, arrays[2])
    (training,) = [one["ArrayTaskId"] for one in slurm.jobs(arrays[2]) if one["JobState"] == "RUNNING"]
    slurm.run("scancel", "--batch", "--signal=USR1", f"{arrays[2]}_{training}")
    assert [slurm.ended(array, 200) for array in arrays] == [{"COMPLETED"}] * 4, slurm.logs()
    assert sum(restarts(slurm, arrays[2])) == 1
    assert "nothing to do" in account.ok("run", suite, "--out", out, "--tracker", "none")
    assert table(account, out) == undisturbed(account, suite, tmp_path / "alone")


def test_a_failed_wave_cancels_those_behind_it(slurm, account, tmp_path):
    suite, out = suite_file(tmp_path, steps=10), tmp_path / "out"
    (out / "data").mkdir(parents=True)
    (out / "data" / "sets").write_text("a file where the folder of prepared sets should be")
    said = slurm.run(LAUNCHERS / "array.sbatch", suite, "--out", out, env=account.env(), cwd=tmp_path)
    first, *others = [line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("array ")]
    assert slurm.ended(first, 200) == {"FAILED"}
    assert [slurm.ended(array, 60) for array in others] == [{"CANCELLED"}] * len(others)
