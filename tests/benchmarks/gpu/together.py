"""Four refiners behind one frozen Restormer: trained together, the backbone run once a step for all, against one after
the other."""

from __future__ import annotations

from functools import partial
from typing import Literal

from harness.planning.job import Job, TogetherWork, TrainWork
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.clock import device
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.world import LOG_EVERY, World, run_section

RESTORMER = "{name: restormer}"
TINY = "{name: restormer, dim: 8, num_blocks: [1, 1, 1, 1], num_refinement_blocks: 1}"
FROZEN = "regime: frozen, continued: false, base_recipe: {steps: 1}"


def measure(bench: Bench) -> None:
    """Trains a base for a step, then its refiners both ways."""
    batch, patch, steps, wide = (2, 32, 2 * LOG_EVERY, 8) if bench.small else (8, 128, 6 * LOG_EVERY, 512)
    world = World(
        bench.folder,
        f"""
suite: together
{run_section()}
defaults:
  task: low_light
  dataset: photos
  backbone: {TINY if bench.small else RESTORMER}
  recipe: {{batch: {batch}, patch: {patch}, steps: {steps}, lr: 1e-4}}
blocks:
  - matrix:
      variant:
        - {{refiner: ptg_rm, prior: {{name: random, dim: {wide}}}, {FROZEN}}}
        - {{refiner: ptg_rm, prior: {{name: random, dim: {2 * wide}}}, {FROZEN}}}
        - {{refiner: {{name: ptg_rm, head: residual}}, prior: {{name: random, dim: {wide}}}, {FROZEN}}}
        - {{refiner: {{name: ptg_rm, head: residual}}, prior: {{name: random, dim: {2 * wide}}}, {FROZEN}}}
""",
    )
    world.prepare()
    trains = {job.id: job for job in world.jobs("train") if isinstance(job.work, TrainWork)}
    refined = [job for job in trains.values() if job.work.cell.base is not None]  # type: ignore[union-attr]
    for job in trains.values():
        if job not in refined:
            world.run(job)
    modes: dict[str, Literal["off", "on"]] = {"as written": "off"}
    if device().type == "cuda":
        modes["as graphs"] = "on"
    bench.each({name: partial(_one, bench, world, refined, name, mode) for name, mode in modes.items()})


def _one(bench: Bench, world: World, refined: list[Job], name: str, mode: str) -> None:
    """Trains all refiners one after the other, then together, and tells the ratio."""
    alone = [world.train(job, compile=mode) for job in refined]
    for job in refined:
        world.forget(job)
    work = TogetherWork(of=tuple(job.work for job in refined if isinstance(job.work, TrainWork)))
    world.run(refined[0].model_copy(update={"work": work, "depends": (), "labels": None}), compile=mode)
    for job in refined:
        world.run(job, compile=mode)
    beside = [world.trained(job) for job in refined]
    apart, step = sum(each.step_seconds for each in alone), beside[0].step_seconds
    same = sum(one.weights == other.weights for one, other in zip(alone, beside, strict=True))
    note = f"{1e3 * step:.1f} ms a step of all, apart {1e3 * apart:.1f}; same weights in {same} of {len(refined)}"
    bench.report.tell(f"{len(refined)} refiners together, {name}", apart / step, "×", Goal("≥", 2.5), note)
    for job in refined:
        world.forget(job)
