"""What the harness adds to a cell on a warm worker, beside the training and the evaluation themselves.

`python -m tests.benchmarks.overhead`. The low-light cells of the smoke suite run, briefly trained, as `bench run` runs
them. A job's time is taken by the driver, from the moment a worker has the job until its outcome is booked; what the
job spent in the training loop and in scoring is on record. The difference is the harness: Ray's call, opening shards
and features, building the network, provenance, records, checkpoints of the final weights. Jobs that were the first on
their worker, or the first of their kind there, are left out: they pay for imports.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from harness.api.running import JobOutcome
from harness.core.paths import Layout
from harness.parts.plugins import open_suite
from harness.planning.job import Job
from harness.planning.plan import Plan, make_plan
from harness.records import store
from harness.scheduling.drive import drive
from harness.scheduling.ray_pool import RayPool
from harness.tracking.null import NullTracker

CELLS = ("defaults.recipe.steps=20", "blocks.0.matrix.task=[low_light]")
WARM = 2
"""Workers on this machine: so many first jobs of a kind pay for imports."""


class Stopwatch:
    """Times every job as the driver sees it."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.jobs: list[tuple[Job, float]] = []

    def begin(self, plan: Plan) -> None: ...

    def started(self, job: Job) -> None:
        self.began[job.id] = monotonic()

    def finished(self, job: Job, outcome: JobOutcome) -> None:
        assert outcome.failure is None, outcome
        self.jobs.append((job, monotonic() - self.began[job.id]))

    def retrying(self, job: Job, outcome: JobOutcome, retry: int) -> None:
        raise AssertionError(outcome)

    def warn(self, message: str) -> None:
        print(message)

    def end(self) -> None: ...


def inside(layout: Layout, job: Job) -> float:
    """Seconds that a job spent in the training loop or in scoring images."""
    assert job.cell_id is not None
    record = store.load(layout, job.cell_id)
    assert record is not None
    if job.work.kind == "train":
        assert record.training is not None
        return record.training.seconds
    return sum(evaluation.seconds for evaluation in record.evaluations)


def measure(options: Sequence[str]) -> dict[str, list[float]]:
    """Seconds that the harness adds to each job, by kind."""
    with tempfile.TemporaryDirectory(prefix="pb") as root:
        layout = Layout(Path(root) / "out", Path(root) / "data")
        suite, registry = open_suite("smoke", [*CELLS, *options])
        watch = Stopwatch()
        plan = make_plan(suite, layout, registry)
        drive(plan, RayPool(cpus=WARM), NullTracker(None, layout, suite.name), layout, watch)
        seen: Counter[str] = Counter()
        added: dict[str, list[float]] = {"train": [], "evaluate": []}
        for job, seconds in watch.jobs:
            kind = job.work.kind
            seen[kind] += 1
            if kind in added and seen[kind] > WARM:
                added[kind].append(seconds - inside(layout, job))
    return added


def main() -> None:
    for title, options in (("one process", ()), ("two processes a training", ("run.processes=2",))):
        print(title)
        added = measure(options)
        for name, values in added.items():
            print(f"{name:9} overhead per job, median of {len(values)}   {statistics.median(values):6.2f} s")
            print(f"{name:9} overhead per job, largest        {max(values):6.2f} s")
        both = sum(statistics.median(values) for values in added.values())
        print(f"overhead per cell (train + evaluate)     {both:6.2f} s")


if __name__ == "__main__":
    main()
