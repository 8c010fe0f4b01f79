"""Whether trainings give the same bits with `run.deterministic`, and what that costs.

Every training is a process of its own with a folder of its own, a base cell or one with PTG-RM, from the same seed.
Without `run.deterministic` it is counted how many different weights three of them give.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.planning.job import Job
from harness.records import store
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.clock import device
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.processes import beside, ended, started
from tests.benchmarks.gpu.world import World, run_section

AT_ONCE = max(1, min(8, (os.cpu_count() or 1) // 2))
FREE = 3
"""Trainings without `run.deterministic`."""
YES = Goal("=", 1)


@dataclass(frozen=True)
class Asked:
    """Trainings of one cell that are to be compared."""

    name: str
    cell: int
    """Place of the cell in the suite: 0 the base, 1 with PTG-RM."""
    times: int
    run: dict[str, Any]


def suite(bench: Bench) -> str:
    width, batch, patch, steps = (4, 2, 32, 30) if bench.small else (16, 8, 128, 120)
    return f"""
suite: deterministic
{run_section(checkpoint_every=steps // 4)}
defaults:
  task: low_light
  dataset: photos
  seeds: [0]
  backbone: {{name: nafnet, width: {width}, enc_blk_nums: [1, 1], middle_blk_num: 1, dec_blk_nums: [1, 1]}}
  recipe: {{batch: {batch}, patch: {patch}, steps: {steps}, lr: 1e-3}}
blocks:
  - matrix: {{variant: [base, {{refiner: ptg_rm, prior: {{name: random, dim: {8 if bench.small else 512}}}}}]}}
"""


def measure(bench: Bench) -> None:
    """Trains all of them, beside each other, and tells which weights are equal."""
    first = _world(bench, "pace")
    first.prepare()
    off: dict[str, Any] = {"compile": "off"}
    asked = [
        Asked("base", 0, 2, {**off, "deterministic": True}),
        Asked("PTG-RM", 1, 2, {**off, "deterministic": True}),
        Asked("PTG-RM without it", 1, FREE, {**off, "deterministic": False}),
        Asked("base without it", 0, FREE, {**off, "deterministic": False}),
    ]
    if device().type == "cuda":
        asked.insert(0, Asked("PTG-RM as graphs", 1, 2, {"compile": "on", "deterministic": True}))
    else:
        bench.report.skip("PTG-RM as graphs, twice: same weights", "there is no GPU")
    if bench.small:
        asked = asked[1:2]
    with ThreadPoolExecutor(1) as other:
        resumed = other.submit(_killed, bench, {**off, "deterministic": True})
        digests = _together(bench, asked)
        for each in asked:
            _tell(bench, each, digests[each.name])
        _tell_resumed(bench, resumed.result(), digests["PTG-RM"])
    paces = dict(zip(("PTG-RM", "base"), reversed(first.jobs("train")), strict=True))
    if bench.small:
        del paces["base"]
    bench.each({f"pace of {name}": partial(_pace, bench, first, name, job) for name, job in paces.items()})


def _world(bench: Bench, name: str) -> World:
    return World(bench.folder / name.replace(" ", "_"), suite(bench), data=bench.folder / "data")


def _together(bench: Bench, asked: Sequence[Asked]) -> dict[str, list[str]]:
    """The digests of the final weights of the trainings that ended, by name."""
    runs = [(each, number, _world(bench, f"{each.name} {number}")) for each in asked for number in range(each.times)]
    commands = [world.command(world.jobs("train")[each.cell], **each.run) for each, _, world in runs]
    codes = beside(commands, bench.folder / "logs", AT_ONCE, bench.left() * 0.7)
    digests: dict[str, list[str]] = {each.name: [] for each in asked}
    for (each, _, world), code in zip(runs, codes, strict=True):
        if code == 0:
            digests[each.name].append(world.trained(world.jobs("train")[each.cell]).weights)
    return digests


def _tell(bench: Bench, each: Asked, digests: Sequence[str]) -> None:
    if len(digests) < each.times:
        bench.report.skip(each.name, f"{len(digests)} of {each.times} trainings ended")
    elif each.run["deterministic"]:
        bench.report.tell(f"{each.name}, twice: same weights", len(set(digests)) == 1, goal=YES)
    else:
        bench.report.tell(f"{each.name}: different weights in {each.times} trainings", len(set(digests)))


@dataclass(frozen=True)
class Resumed:
    """A training that was killed and went on."""

    weights: str
    at: int | None
    """The step that it went on from; None when it ended before it was killed."""


def _killed(bench: Bench, run: dict[str, Any]) -> Resumed:
    """Kills a training of PTG-RM after its first checkpoint, and has it go on."""
    world = _world(bench, "killed")
    job = world.jobs("train")[1]
    log = bench.folder / "logs" / "killed.log"
    process = started(world.command(job, **run), log)
    try:
        while process.poll() is None and bench.left() > 0 and not _has_checkpoint(world, job):
            time.sleep(0.01)
    finally:
        ended(process)
    again = started([sys.executable, "-m", "harness.jobs", str(_file(world, job)), "--beside"], log)
    try:
        again.wait(max(1.0, bench.left()))
    finally:
        ended(again)
    done = world.trained(job)
    return Resumed(done.weights, done.record.attempts[-1].resumed_at)


def _file(world: World, job: Job) -> Path:
    return world.layout.job_file(job.id)


def _has_checkpoint(world: World, job: Job) -> bool:
    return any(each["event"] == "checkpoint" for each in store.read_events(world.layout, str(job.cell_id)))


def _tell_resumed(bench: Bench, resumed: Resumed, uninterrupted: Sequence[str]) -> None:
    name = "PTG-RM, killed and resumed: same weights as without"
    if resumed.at is None:
        bench.report.skip(name, "it ended before it was killed")
    elif not uninterrupted:
        bench.report.skip(name, "there is nothing to compare it with")
    else:
        note = f"went on from step {resumed.at}"
        bench.report.tell(name, resumed.weights == uninterrupted[0], goal=YES, note=note)


def _pace(bench: Bench, world: World, name: str, job: Job) -> None:
    """What determinism costs a step, in turns."""
    turns = [
        [world.train(job, compile="off", deterministic=wanted).step_seconds for wanted in (False, True)]
        for _ in range(1 if bench.small else 2)
    ]
    free, fixed = (statistics.median(turn[place] for turn in turns) for place in (0, 1))
    note = f"{1e3 * fixed:.1f} ms against {1e3 * free:.1f}, as written"
    bench.report.tell(f"{name}, step with it against without", fixed / free, "×", note=note)
