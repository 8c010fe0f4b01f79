"""What `bench selftest` does: one small training in every way that a suite may ask for, compared with one process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import psutil

from harness.api.running import JobOutcome, Request
from harness.cells.cell import Cell
from harness.cells.suite import DeepSpeed, Labels, Run
from harness.core.errors import HarnessError
from harness.core.paths import Layout, write_text
from harness.jobs.local_gang import run_gang
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite
from harness.planning.job import Job, ShardsWork, TrainWork, Work
from harness.records.store import read_events

SUITE = """
suite: selftest
run: {{cpus: 1, gpus: {gpus}}}
defaults:
  dataset: photos
  recipe: {{steps: {steps}, batch: {batch}, patch: 32, optimizer: adam, lr: 1e-3, clip_grad: 0.5, ema: 0.9}}
blocks:
  - task: {{name: gaussian_denoise, sigma: 25}}
    backbone: {{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
"""
STEPS, EVERY = 24, 4
CLOSE = 1e-3
"""The largest relative difference between loss curves that is rounding."""
CLOSE_WEIGHTS = 1e-3
"""The largest difference between weights that is rounding: 1e-7 on CPUs. Adam moves a weight by up to `STEPS` times the
rate, 2.4e-2, and where its gradient is almost nothing rounding alone decides which way."""
WAYS = {
    "ddp": Run(strategy="ddp"),
    "fsdp2": Run(strategy="fsdp2"),
    **{f"deepspeed {stage}": Run(strategy="deepspeed", deepspeed=DeepSpeed(stage=stage)) for stage in (1, 2, 3)},
}
LONGEST = 900.0
"""Seconds within which Ray runs the small training, or does not."""


@dataclass(frozen=True)
class Found:
    """One line of the report."""

    what: str
    holds: bool
    compared: str
    seconds: float

    def __str__(self) -> str:
        end = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.what:<34} {self.compared:<74} {self.seconds:6.1f} s  {end}"


@dataclass(frozen=True)
class Trained:
    """What one training left."""

    outcome: JobOutcome
    losses: list[float]
    weights: Path
    seconds: float

    def unlike(self, other: Trained) -> tuple[float, float]:
        """The largest difference of the losses, as a share, and of the weights; NaN where there is any."""
        import numpy as np
        from safetensors.numpy import load_file

        one, two = np.asarray(self.losses), np.asarray(other.losses)
        mine, its = load_file(self.weights), load_file(other.weights)
        same = mine.keys() == its.keys()
        weights = np.max([np.max(np.abs(mine[name] - its[name])) for name in its]) if same else np.inf
        return float(np.max(np.abs(one - two) / np.abs(two))), float(weights)


@dataclass
class Bench:
    """A folder with a prepared data set, in which the same cell is trained again and again."""

    folder: Path
    ranks: int
    on_gpus: bool
    cell: Cell = field(init=False)
    _known: dict[str, Trained] = field(default_factory=dict)

    def __post_init__(self) -> None:
        batch = self.ranks * max(1, 4 // self.ranks)
        text = SUITE.format(gpus="auto" if self.on_gpus else 0, steps=STEPS, batch=batch)
        file = self.folder / "selftest.yaml"
        file.write_text(text, encoding="utf-8")
        cells = [each.cell for each in open_suite(str(file))[0].cells]
        self.cell = next(cell for cell in cells if cell.backbone is not None)

    @property
    def title(self) -> str:
        where = f"{self.ranks} GPUs" if self.on_gpus else f"{self.ranks} processes on the CPU"
        return f"one process against {where}: {STEPS} steps of NAFNet, clipped, averaged"

    def prepare(self) -> JobOutcome:
        """Stores the training set, once for all."""
        work = ShardsWork(stored=self.cell.train_samples.stored)
        return self._run(self._job("data", work, Run(gpus=0)))

    def train(self, name: str, run: Run, ranks: int, start: str = "") -> Trained:
        """One training in a folder of its own, or the rest of the one that was killed in the folder `start`."""
        began = monotonic()
        job = self._job(start or name, TrainWork(cell=self.cell), self._sized(run, ranks))
        return self._trained(job, self._run(job), began)

    def killed(self, name: str, run: Run) -> JobOutcome:
        """A training whose last process is killed after the first checkpoint."""
        job = self._job(name, TrainWork(cell=self.cell), self._sized(run, self.ranks))
        with _killer(Layout(Path(job.out), Path(job.data)).checkpoints(self.cell.id), self._file(job)):
            return self._run(job)

    def on_ray(self, name: str) -> Trained:
        """One training that Ray places."""
        began, run = monotonic(), self._sized(WAYS["ddp"], self.ranks)
        job = self._job(name, TrainWork(cell=self.cell), run)
        request = Request(1, int(self.on_gpus), self.ranks)
        pool = REGISTRY.load("executor", "ray")(None, cpus=max(self.ranks, os.cpu_count() or 1))
        try:
            pool.expect([request])
            write_text(self._file(job), job.model_dump_json())
            pool.submit(str(self._file(job)), request)
            ended: list[JobOutcome] = []
            while not ended and monotonic() - began < LONGEST:
                ended += [outcome for _, outcome in pool.poll(1.0)]
        finally:
            pool.stop()
        late = JobOutcome(job.id, "worker_lost", f"Ray has not run it within {LONGEST:.0f} s")
        return self._trained(job, ended[0] if ended else late, began)

    def alone(self) -> Trained:
        """The yardstick: one process."""
        return self.known("one process", partial(self.train, "alone", WAYS["ddp"], 1))

    def known(self, name: str, train: Callable[[], Trained]) -> Trained:
        """A training that is made once, whoever asks for it."""
        if name not in self._known:
            self._known[name] = train()
        return self._known[name]

    def _sized(self, run: Run, ranks: int) -> Run:
        if ranks == 1:
            run = Run()
        sizes = {"gpus": ranks if self.on_gpus else 0, "processes": None if self.on_gpus else ranks}
        same = {"checkpoint_every": EVERY, "log_every": 1, "samples": 0, "patience": 300}
        return run.model_copy(update=sizes | same)

    def _job(self, name: str, work: Work, run: Run) -> Job:
        labels = Labels(task="denoise", backbone="NAFNet", variant="base")
        places = {"out": str(self.folder / name.replace(" ", "-")), "data": str(self.folder / "data")}
        return Job(work=work, labels=labels, run=run, suite="selftest", **places)

    def _file(self, job: Job) -> Path:
        return Layout(Path(job.out), Path(job.data)).job_file(job.id)

    def _run(self, job: Job) -> JobOutcome:
        file = self._file(job)
        write_text(file, job.model_dump_json())
        return run_gang(str(file), job, Layout(Path(job.out), Path(job.data)))

    def _trained(self, job: Job, outcome: JobOutcome, began: float) -> Trained:
        layout = Layout(Path(job.out), Path(job.data))
        events = read_events(layout, self.cell.id)
        losses = [event["loss"] for event in events if event["event"] == "step"]
        return Trained(outcome, losses, layout.final_weights(self.cell.id), monotonic() - began)


def checks(bench: Bench) -> Iterator[Callable[[], Found]]:
    """All that is checked, in order."""
    yield partial(_prepared, bench)
    yield partial(_alone, bench)
    for name, run in WAYS.items():
        yield partial(_same, bench, name, run)
    yield partial(_resumed, bench)
    for name in ("fsdp2", "deepspeed 3"):
        yield partial(_elastic, bench, name)
    yield partial(_placed, bench)


def _prepared(bench: Bench) -> Found:
    began = monotonic()
    return _told("photographs are stored", bench.prepare(), "", began)


def _alone(bench: Bench) -> Found:
    began, found = monotonic(), bench.alone()
    shown = f"loss {found.losses[0]:.4f} → {found.losses[-1]:.4f}" if found.losses else ""
    return _told("one process", found.outcome, shown, began)


def _same(bench: Bench, name: str, run: Run) -> Found:
    began = monotonic()
    found = bench.known(name, partial(bench.train, name, run, bench.ranks))
    return _compared(f"{bench.ranks} processes, {name}", found, bench.alone(), began)


def _resumed(bench: Bench) -> Found:
    """A gang that was killed goes on and ends where the undisturbed one did."""
    began, run = monotonic(), WAYS["ddp"]
    lost = bench.killed("killed", run)
    noticed = monotonic() - began
    if lost.failure != "worker_lost":
        said = lost.message or "the training had ended before its process could be killed"
        return Found("a killed process", False, f"{lost.failure or 'no failure'}: {said}"[:74], noticed)
    rest = bench.train("killed", run, bench.ranks, start="killed")
    whole = bench.known("ddp", partial(bench.train, "ddp", run, bench.ranks))
    return _compared("a killed process, resumed", rest, whole, began)


def _elastic(bench: Bench, name: str) -> Found:
    """What several processes began, one ends."""
    began, folder = monotonic(), f"elastic {name}"
    lost = bench.killed(folder, WAYS[name])
    if lost.failure != "worker_lost":
        return Found(f"{name}, resumed by one", False, f"{lost.failure or 'no failure'}: {lost.message}"[:74], 0.0)
    rest = bench.train(folder, WAYS["ddp"], 1, start=folder)
    return _compared(f"{name} on {bench.ranks}, resumed by one", rest, bench.alone(), began)


def _placed(bench: Bench) -> Found:
    began = monotonic()
    try:
        found = bench.on_ray("ray")
    except HarnessError as error:
        return Found("a gang on Ray", False, error.what[:74], monotonic() - began)
    return _compared("a gang on Ray", found, bench.alone(), began)


def _told(what: str, outcome: JobOutcome, compared: str, began: float) -> Found:
    if outcome.failure:
        compared = f"{outcome.failure}: {outcome.message}".splitlines()[0][:74]
    return Found(what, not outcome.failure, compared, monotonic() - began)


def _compared(what: str, found: Trained, other: Trained, began: float) -> Found:
    told = _told(what, found.outcome, "", began)
    if not told.holds or other.outcome.failure:
        return replace(told, holds=False)
    if len(found.losses) != len(other.losses):
        return replace(told, holds=False, compared=f"{len(found.losses)} losses, and not {len(other.losses)}")
    losses, weights = found.unlike(other)
    shown = f"{len(found.losses)} losses, by {losses:.0e} of them; weights, by {weights:.0e}"
    return replace(told, holds=losses < CLOSE and weights < CLOSE_WEIGHTS, compared=f"largest differences: {shown}")


@contextmanager
def _killer(checkpoints: Path, file: Path) -> Iterator[None]:
    """Inside, the last process of the gang that runs a job's file is killed as soon as there is a checkpoint."""
    done = threading.Event()

    def kill() -> None:
        while not done.is_set():
            if any(checkpoints.glob("step-*/manifest.json")):
                for process in reversed(psutil.Process().children()):
                    with suppress(psutil.Error):
                        if str(file) in process.cmdline():
                            process.send_signal(signal.SIGKILL)
                            return
            sleep(0.002)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
