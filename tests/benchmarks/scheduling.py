"""What placing jobs costs the driver. `python -m tests.benchmarks.scheduling`. The machines exist in memory alone.

Jobs of 1,000 slots end one at a time, as they do in a run, and the next is placed; nothing of Ray is in it. The last
lines are of a whole run's loop (harness.scheduling.drive), with the files that it writes for each job.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

from harness.api.reference import PartRef
from harness.api.running import Request
from harness.api.sets import PreparedSet
from harness.core.paths import Layout
from harness.planning.job import Job, ShardsWork
from harness.scheduling.backend import Event
from harness.scheduling.drive import drive
from harness.scheduling.pool import Pool
from harness.tracking.null import NullTracker
from tests.unit.scheduling.machines_in_memory import InMemory
from tests.unit.scheduling.plans import plan
from tests.unit.scheduling.test_drive import Notes

ONE = Request()
MIXED = (Request(1), Request(2), Request(1, 0, 4), Request(4))
WIDE = (*[ONE] * 20, Request(1, 0, 200))
"""Among small jobs, gangs over 200 machines."""


def run(jobs: int, machines: int, cpus: int, requests: tuple[Request, ...]) -> float:
    """Milliseconds of CPU a job."""
    backend = InMemory(*((f"node{number}", float(cpus), 0.0) for number in range(machines)))
    pool = Pool(backend)
    began = process_time()
    pool.expect([requests[number % len(requests)] for number in range(jobs)])
    for number in range(jobs):
        pool.submit(f"/out/jobs/{number}.json", requests[number % len(requests)], number, f"set{number % 7}")
    done = 0
    while done < jobs:
        if backend.running:
            backend.finish(next(iter(backend.running)))
        done += len(pool.poll(0.0) or pool.poll(0.01))
    pool.stop()
    return (process_time() - began) / jobs * 1000


class Ends(InMemory):
    """One whose jobs end by themselves: the one that has run for longest, whenever news is asked for."""

    def events(self, timeout: float) -> Sequence[Event]:
        if self.running:
            self.finish(next(iter(self.running)))
        return super().events(0.0)


def whole(jobs: int) -> tuple[float, float, float]:
    """Milliseconds a job, of CPU and by the clock, of `drive`; and the seconds until the first job was handed out."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as folder:
        layout = Layout(Path(folder) / "out", Path(folder) / "data")
        planned = plan(*(_shards(number, layout) for number in range(jobs)))
        backend = Ends(*((f"node{number}", 8.0, 0.0) for number in range(125)))
        notes = Notes()
        cpu, clock = process_time(), perf_counter()
        first: list[float] = []
        notes.started = lambda job: first.append(perf_counter()) if not first else None  # type: ignore[method-assign]
        summary = drive(planned, Pool(backend), NullTracker(None, layout, "s"), layout, notes)
        assert summary.done == jobs
        ended = process_time() - cpu, perf_counter() - clock
    return ended[0] / jobs * 1000, ended[1] / jobs * 1000, first[0] - clock


def _shards(number: int, layout: Layout) -> Job:
    dataset = PartRef(name="photos", digest=f"d{number}")
    work = ShardsWork(stored=PreparedSet(dataset=dataset, split="train"))
    return Job(work=work, out=str(layout.out), data=str(layout.data))


def main() -> None:
    for title, machines, cpus in (("125 machines of 8 CPUs", 125, 8), ("1,000 machines of 1 CPU", 1000, 1)):
        for jobs in (2000, 10000):
            print(f"{title:24} {jobs:6,} jobs of one kind     {run(jobs, machines, cpus, (ONE,)):6.3f} ms a job")
    for jobs in (2000, 10000):
        print(f"{'125 machines of 8 CPUs':24} {jobs:6,} jobs of four kinds   {run(jobs, 125, 8, MIXED):6.3f} ms a job")
    for jobs in (2000, 10000):
        cpu, clock, first = whole(jobs)
        said = f"{cpu:6.3f} ms a job, {clock:6.3f} by the clock; the first was handed out after {first:.2f} s"
        print(f"{'a run, with its files':24} {jobs:6,} jobs                 {said}")
    print(f"{'1,000 machines of 1 CPU':24}  2,100 jobs, gangs of 200   {run(2100, 1000, 1, WIDE):6.3f} ms a job")


if __name__ == "__main__":
    main()
