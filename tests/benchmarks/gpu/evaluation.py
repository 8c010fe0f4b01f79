"""Evaluation of images of GoPro's size with Restormer: how long the GPU waits, what an image takes, and whether metrics
that are networks say on the GPU what they say on a CPU.

Two cells are evaluated, on few and on more images: what the one takes beyond the other is free of what an evaluation
takes once, as building the network, and so like that of a large test set. A third one goes before them, with what a
process does once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from unittest.mock import patch

import cv2
import numpy as np
import torch
from torch import nn

from harness.api.protocols import PROTOCOLS
from harness.api.reference import PartRef
from harness.evaluation.busy import Use, measured
from harness.evaluation.score import build_metrics
from harness.parts.catalogue import REGISTRY
from harness.planning.job import Job
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.clock import device
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.world import World, run_section

RESTORMER = "{name: restormer}"
TINY = "{name: restormer, dim: 8, num_blocks: [1, 1, 1, 1], num_refinement_blocks: 1}"
ALIKE = 1e-4
"""Largest difference between a metric's value on the GPU and on the CPU, as a share of it."""


@dataclass(frozen=True)
class Sizes:
    height: int
    width: int
    few: int
    more: int


def measure(bench: Bench) -> None:
    """Trains three cells for a step, evaluates them, and tells what the evaluations took."""
    sizes = Sizes(48, 64, 2, 4) if bench.small else Sizes(720, 1280, 12, 36)
    for name, count in (("few", sizes.few), ("more", sizes.more)):
        write_pairs(bench.folder / name, count, sizes.height, sizes.width)
    recipe = "{batch: 1, patch: 64, steps: 1}"
    tests = {
        name: f"{{name: folder, label: {name}, gt: {bench.folder}/{name}/gt, lq: {bench.folder}/{name}/lq, holdout: 1}}"
        for name in ("few", "more")
    }
    world = World(
        bench.folder / "world",
        f"""
suite: evaluation
{run_section(compile="off")}
metrics: [psnr, ssim]
defaults: {{task: motion_blur, dataset: photos, recipe: {recipe}, backbone: {TINY if bench.small else RESTORMER}}}
blocks:
  - {{seeds: [0, 1], test: [{tests["few"]}]}}
  - {{seeds: [2], test: [{tests["more"]}]}}
""",
    )
    world.prepare()
    for job in world.jobs("train"):
        world.run(job)
    jobs = [job for job in world.jobs("evaluate") if job.work.kind == "evaluate" and job.work.cell.backbone is not None]
    _, few, more = (evaluated(world, job) for job in jobs)
    _tell_use(bench, few, more, sizes)
    _tell_batches(bench, world, jobs)
    bench.each({"metrics": lambda: _tell_metrics(bench, sizes)})


def write_pairs(folder: Path, count: int, height: int, width: int) -> None:
    """PNG files of soft random images, sharp and blurred."""
    for side in ("gt", "lq"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        sharp = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        for side, image in (("gt", sharp), ("lq", cv2.GaussianBlur(sharp, (0, 0), 2))):
            cv2.imwrite(str(folder / side / f"{number}.png"), image)


def evaluated(world: World, job: Job) -> Use:
    """Runs an evaluation, and gives what it used of the GPU."""
    with measured() as use:
        world.run(job)
    return use


def _tell_use(bench: Bench, few: Use, more: Use, sizes: Sizes) -> None:
    images, seconds = sizes.more - sizes.few, more.seconds - few.seconds
    once = f"{few.seconds:.1f} s for {sizes.few} images and {more.seconds:.1f} s for {sizes.more}"
    bench.report.tell("an image restored and scored", 1e3 * seconds / images, "ms", note=once)
    if few.busy_seconds is None or more.busy_seconds is None:
        bench.report.skip("time in which the GPU waits", "there is no GPU")
        return
    busy = more.busy_seconds - few.busy_seconds
    whole = f"{100 * (more.idle_share or 0):.0f}% with all that is done once"
    note = f"of {seconds:.1f} s, {whole}; gaps inside a forward pass are not seen"
    bench.report.tell("time in which the GPU waits", 100 * (1 - busy / seconds), "%", Goal("<", 10), note)


def _tell_batches(bench: Bench, world: World, jobs: Sequence[Job]) -> None:
    """What the evaluations' logs say of batches."""
    logs = [world.layout.job_log(job.id).read_text(encoding="utf-8") for job in jobs]
    said = [line.partition("images of ")[2] for log in logs for line in log.splitlines() if "are restored" in line]
    if not said:
        bench.report.skip("batches have the bits of single images", "one by one: no batch was tried")
        return
    bench.report.tell("batches have the bits of single images", "at a time" in said[-1], note=said[-1])


def _tell_metrics(bench: Bench, sizes: Sizes) -> None:
    """LPIPS, with random weights, on both devices."""
    name = f"LPIPS (random weights), {device().type} against cpu"
    random = np.random.default_rng(0)
    truth = 255 * random.random((sizes.height, sizes.width, 3))
    restored = np.clip(truth + random.normal(0, 25, truth.shape), 0, 255)
    with random_lpips():
        here, there = (
            build_metrics({"lpips": PartRef(name="lpips")}, PROTOCOLS["rgb_uint8"], REGISTRY, where)["lpips"]
            for where in (torch.device("cpu"), device())
        )
        on_cpu, on_gpu = (float(metric(restored, truth)) for metric in (here, there))
    apart = abs(on_gpu - on_cpu) / abs(on_cpu)
    bench.report.tell(name, apart, "of the value", Goal("≤", ALIKE), f"{on_gpu:.6f} and {on_cpu:.6f}")


@contextmanager
def random_lpips() -> Iterator[None]:
    """Inside, the metric `lpips` is a network with weights that no file gave it, the same whenever it is made."""
    from pyiqa.archs import lpips_arch
    from torchvision.models import alexnet

    def network(*_given: object) -> nn.Module:
        torch.manual_seed(0)
        made = lpips_arch.LPIPS(net="alex", pretrained=False).eval()
        for name, weight in made.named_parameters():
            if name.startswith("lin"):
                weight.data.abs_()  # distances of layers add up
        return cast(nn.Module, made)

    with (
        patch.object(lpips_arch.models, "alexnet", lambda weights: alexnet(weights=None)),  # it would fetch them
        patch("harness.parts.metrics.lpips.ready_files", lambda *part: (Path(), Path())),
        patch("harness.parts.metrics.lpips.build_network", network),
    ):
        yield
