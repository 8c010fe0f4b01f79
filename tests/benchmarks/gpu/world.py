"""A suite whose jobs run in this process or beside it, without Ray, and what their records and events say."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from harness.core.paths import Layout, write_text
from harness.jobs.__main__ import begin_attempt
from harness.jobs.run import run_job_file
from harness.parts.plugins import open_suite
from harness.planning.job import Job
from harness.planning.plan import make_plan
from harness.records import store
from harness.records.model import RunRecord

LOG_EVERY = 5
"""Steps of a line of the loss curve."""
CPUS = max(1, min(4, (os.cpu_count() or 1) // 4))
"""Threads of a job: with so many the compiler works, too."""


def run_section(**more: object) -> str:
    """The `run:` of a suite that is measured: no checkpoints or strips between."""
    given = {"cpus": CPUS, "checkpoint_every": 1_000_000, "log_every": LOG_EVERY, "samples": 0, **more}
    return "run: {" + ", ".join(f"{name}: {value}" for name, value in given.items()) + "}"


@dataclass(frozen=True)
class Trained:
    """A training that ended."""

    record: RunRecord
    lines: tuple[tuple[int, float, datetime], ...]
    """Step, mean loss since the line before, and time, of every line of its loss curve."""
    peak_bytes: int
    """Most memory of the GPU that PyTorch handed out; 0 on a CPU."""

    @property
    def step_seconds(self) -> float:
        """Of a step with all that belongs to it, over the last three quarters of the training: what is compiled and
        recorded was so before."""
        (first, _, began), (last, _, ended) = self.lines[len(self.lines) // 4], self.lines[-1]
        return (ended - began).total_seconds() / (last - first)

    @property
    def losses(self) -> list[float]:
        return [loss for _, loss, _ in self.lines]

    @property
    def weights(self) -> str:
        """Digest of the final weights."""
        assert self.record.training is not None
        return self.record.training.checkpoint_sha256


class World:
    """A suite in a folder."""

    def __init__(self, folder: Path, suite: str, data: Path | None = None) -> None:
        """`suite`: the text of the suite file. `data`: prepared sets to share; a folder of its own when None."""
        self.layout = Layout(folder / "out", data or folder / "data")
        file = folder / "suite.yaml"
        write_text(file, suite)
        resolved, registry = open_suite(str(file))
        self.registry = registry
        self._jobs = [planned.job for planned in make_plan(resolved, self.layout, registry).jobs]

    def jobs(self, *kinds: str) -> list[Job]:
        """Its jobs of these kinds, in the order in which they depend on each other."""
        return [job for job in self._jobs if job.kind in kinds]

    def prepare(self) -> None:
        """Makes shards and prior features."""
        for job in self.jobs("shards", "features"):
            self.run(job)

    def write(self, job: Job, **changes: Any) -> Path:
        """The job's file, as a new try. `changes`: of the suite's `run:`."""
        path = self.layout.job_file(job.id)
        write_text(path, job.model_copy(update={"run": job.run.model_copy(update=changes)}).model_dump_json())
        begin_attempt(str(path), self.layout.job_attempt(job.id))
        return path

    def run(self, job: Job, **changes: Any) -> None:
        """Runs a job in this process. Raises RuntimeError when it fails."""
        outcome = run_job_file(str(self.write(job, **changes)))
        if outcome.failure is not None:
            raise RuntimeError(f"{job.title}: {outcome.failure}: {outcome.message}")

    def command(self, job: Job, **changes: Any) -> list[str]:
        """The command that runs a job in a process of its own, beside others of this suite."""
        return [sys.executable, "-m", "harness.jobs", str(self.write(job, **changes)), "--beside"]

    def train(self, job: Job, **changes: Any) -> Trained:
        """Trains a cell from its start, in this process, whatever is there of it."""
        self.forget(job)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self.run(job, **changes)
        return self.trained(job)

    def trained(self, job: Job) -> Trained:
        """What a training has left. Raises RuntimeError when it has not ended."""
        record = store.load(self.layout, str(job.cell_id))
        if record is None or record.training is None:
            raise RuntimeError(f"{job.title} has not ended")
        events = [each for each in store.read_events(self.layout, str(job.cell_id)) if each["event"] == "step"]
        lines = tuple((each["step"], each["loss"], datetime.fromisoformat(each["time"])) for each in events)
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return Trained(record, lines, peak)

    def forget(self, job: Job) -> None:
        """Removes what is there of a job's cell, aside, where nothing looks for it."""
        place = self.layout.placed_cell(str(job.cell_id))
        if place.exists():
            aside = self.layout.out.parent / "aside"
            aside.mkdir(exist_ok=True)
            place.rename(aside / f"{place.name}.{len(list(aside.iterdir()))}")
