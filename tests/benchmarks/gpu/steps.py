"""Whole training steps, loader and optimizer included, as train jobs take them: with `run.compile` off and on.

Three trainings of one cell, off, on and off again: the pace of the second against the first, and how far its losses lie
from those of the others, which differ between each other too where a GPU adds in no fixed order. Before, other cells of
the same kinds are trained by processes beside each other, which make the graphs; so the measured training takes them
from the compiler's cache, in another process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from harness.records.model import Compilation
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.processes import beside
from tests.benchmarks.gpu.world import LOG_EVERY, Trained, World, run_section

MAKING = 0.45
"""Share of the time that the making of graphs beforehand may take."""
MAKERS = 4
"""Processes that make graphs beside each other: they share the GPU's memory."""
MOST_STEPS, FEWEST_STEPS, MAKERS_STEPS = 100, 30, 10
TOLERANCE = 1.0
"""Percent that the losses of a line may differ by, whatever two runs as written do."""
Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")
GOALS: dict[Precision, float] = {"bf16": 1.5, "fp32": 1.3}


@dataclass(frozen=True)
class Network:
    """A backbone and its batches."""

    name: str
    backbone: str
    """As a suite names it."""
    batch: int
    patch: int
    nominal: float
    """About how many seconds a step takes as written on an H100; it decides how many steps the time holds."""

    @property
    def title(self) -> str:
        return f"{self.name} b{self.batch} p{self.patch}"


NETWORKS = (
    Network("Restormer", "{name: restormer}", 8, 128, 0.2),
    Network("NAFNet-32", "{name: nafnet, width: 32}", 8, 256, 0.11),
    Network("SNR-Net", "{name: snr_net}", 4, 256, 0.03),
    Network("Uformer-B", "{name: uformer, img_size: 128}", 4, 128, 0.2),
    Network("MPRNet", "{name: mprnet}", 4, 256, 0.17),
)
TINY = "{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}"
SMALL = (Network("NAFNet-4", TINY, 2, 32, 0.1),)


class Kind:
    """The cells of one network in one precision."""

    def __init__(self, bench: Bench, network: Network, precision: Precision, steps: int) -> None:
        self.network, self.precision, self.steps = network, precision, steps
        self.name = f"{network.title} {precision}"
        recipe = f"{{batch: {network.batch}, patch: {network.patch}, precision: {precision}, lr: 1e-4, augment: flip"
        suite = f"""
suite: steps
{run_section()}
defaults: {{task: low_light, dataset: photos, backbone: {network.backbone}, variant: base}}
blocks:
  - {{recipe: {recipe}, steps: {steps}}}, seeds: [0]}}
  - {{recipe: {recipe}, steps: {MAKERS_STEPS}}}, seeds: [1]}}
"""
        folder = bench.folder / self.name.replace(" ", "_")
        self.world = World(folder, suite, data=bench.folder / "data")
        self.measured, self.maker = self.world.jobs("train")

    def made(self) -> Compilation | None:
        """What the making of graphs beforehand took; None where it did not end."""
        try:
            record = self.world.trained(self.maker).record
        except RuntimeError:
            return None
        assert record.training is not None
        return record.training.compilation


def measure(bench: Bench) -> None:
    """Tells what every network gains, as many as the time holds; first all of them in bf16."""
    networks, precisions = (SMALL, PRECISIONS[:1]) if bench.small else (NETWORKS, PRECISIONS)
    paces: dict[str, float] = {}
    for place, precision in enumerate(precisions):
        share = bench.left() / (len(precisions) - place)
        steps = _steps(networks, share * (1 - MAKING), small=bench.small)
        kinds = [Kind(bench, network, precision, steps) for network in networks]
        kinds[0].world.prepare()
        _make(bench, kinds, share * MAKING, precision)
        bench.each({kind.name: partial(_one_kind, bench, kind, paces) for kind in kinds})


def _make(bench: Bench, kinds: Sequence[Kind], seconds: float, precision: Precision) -> None:
    """Has processes beside each other make the graphs, as far as the seconds hold it."""
    began = time.monotonic()
    commands = [kind.world.command(kind.maker, compile="on") for kind in kinds]
    at_once = min(MAKERS, max(1, (os.cpu_count() or 1) // 2))
    codes = beside(commands, bench.folder / f"logs {precision}", at_once, seconds)
    making = f"{codes.count(0)} of {len(codes)} trainings of {MAKERS_STEPS} steps, {at_once} at once"
    bench.report.tell(f"graphs made beforehand, {precision}", time.monotonic() - began, "s", note=making)


def _steps(networks: Sequence[Network], seconds: float, *, small: bool) -> int:
    """Steps of a training: as many as fit thrice into the seconds for all networks, whole lines of the curve."""
    if small:
        return 2 * LOG_EVERY
    fitting = seconds / sum(3 * network.nominal for network in networks)
    return int(max(FEWEST_STEPS, min(MOST_STEPS, fitting)) // LOG_EVERY * LOG_EVERY)


def _one_kind(bench: Bench, kind: Kind, paces: dict[str, float]) -> None:
    """Trains a cell off, on and off, and tells what came of it. `paces`: seconds of a compiled step by kind."""
    train, job = kind.world.train, kind.measured
    off, on = train(job, compile="off"), train(job, compile="on")
    words = f"{1e3 * on.step_seconds:.1f} ms, as written {1e3 * off.step_seconds:.1f}"
    if on.peak_bytes:
        words += f"; memory {on.peak_bytes / 2**20:.0f} MiB with the trial of graphs, {off.peak_bytes / 2**20:.0f}"
    goal = Goal("≥", GOALS[kind.precision])
    bench.report.tell(f"{kind.name} step", off.step_seconds / on.step_seconds, "×", goal, words)
    _tell_compilation(bench, kind, on)
    paces[kind.name] = on.step_seconds
    bf16, fp32 = (paces.get(f"{kind.network.title} {precision}") for precision in PRECISIONS)
    if bf16 and fp32:
        bench.report.tell(f"{kind.network.title} bf16 against fp32, compiled", fp32 / bf16, "×", Goal("≥", 1.0))
    again = train(job, compile="off")
    spread, apart = 100 * _apart(off, again), 100 * min(_apart(off, on), _apart(again, on))
    told = f"two runs as written: {spread:.2g}%, {1e3 * again.step_seconds:.1f} ms; {kind.steps} steps"
    bench.report.tell(f"{kind.name} losses apart", apart, "%", Goal("≤", round(max(TOLERANCE, 2 * spread), 3)), told)


def _tell_compilation(bench: Bench, kind: Kind, on: Trained) -> None:
    """How long graphs took, first and from the cache, and what ran as it is written."""
    assert on.record.training is not None
    now, made = on.record.training.compilation, kind.made()
    if now is None:
        bench.report.skip(f"{kind.name} graphs", "the record tells of no compilation")
        return
    first = "unknown" if made is None else f"{made.seconds:.1f} s, beside others"
    left = "; ".join(f"{part}: {why}" for part, why in now.parts.items() if why != "compiled")
    note = f"the first time {first}; in a new process here" + (f"; as written: {left}" if left else "")
    bench.report.tell(f"{kind.name} graphs", now.seconds, "s", note=note)


def _apart(one: Trained, other: Trained) -> float:
    """The largest difference between two loss curves, as a share of the loss."""
    return max(abs(a - b) / max(abs(a), 1e-12) for a, b in zip(one.losses, other.losses, strict=True))
