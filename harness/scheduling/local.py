"""The same jobs without Ray, one after the other. For debugging and for machines without Ray.

A job of one process runs in this one, a gang in processes of its own.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from harness.api.running import ALONE, JobOutcome, Request, Shared
from harness.core.errors import HarnessError
from harness.jobs.local_gang import run_gang
from harness.planning.places import layout_of
from harness.scheduling.resources import check_capacity
from harness.scheduling.threads import set_threads


@dataclass(order=True)
class _Waiting:
    priority: int
    order: int
    job_file: str = field(compare=False)
    cpus: int = field(compare=False)
    processes: int = field(compare=False)


class LocalExecutor:
    """Runs a job inside `poll`, where Ctrl-C reaches it directly. The job with the lowest priority number goes first.

    `address` is there because executors are made alike; there is no cluster to connect to.
    """

    def __init__(self, address: str | None = None) -> None:
        self._waiting: list[_Waiting] = []
        self._submitted = 0

    def prove(self, shared: Shared, tell: Callable[[str], None]) -> None:
        """This process has nothing to prove to itself."""

    def capacity(self) -> Mapping[str, float]:
        from torch import cuda  # jobs need it anyway; planning, which never asks, does not

        return {"cpus": float(os.cpu_count() or 1), "gpus": float(cuda.device_count())}

    def expect(self, requests: Sequence[Request]) -> None:
        nodes = max((request.nodes or 1 for request in requests), default=1)
        if nodes > 1:
            what = f"a job asks for {nodes} machines, and --executor local has this one"
            hint = "run with --set run.nodes=1, or on a cluster with --address"
            raise HarnessError(what, where="run.nodes of the suite", hint=hint)
        check_capacity(requests, self.capacity())

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> _Waiting:
        waiting = _Waiting(priority, self._submitted, job_file, request.cpus, request.processes)
        self._submitted += 1
        heapq.heappush(self._waiting, waiting)
        return waiting

    def poll(self, timeout: float) -> Sequence[tuple[_Waiting, JobOutcome]]:
        """Runs the next job to its end, however long that takes."""
        if not self._waiting:
            return ()
        waiting = self._waiting[0]
        set_threads(waiting.cpus)
        outcome = _run(waiting)
        heapq.heappop(self._waiting)
        return ((waiting, outcome),)

    def running(self) -> Sequence[_Waiting]:
        """The job that the next `poll` runs."""
        return self._waiting[:1]

    def stop(self) -> None:
        self._waiting.clear()


def _run(waiting: _Waiting) -> JobOutcome:
    """Runs a job to its end."""
    run = import_module("harness.jobs.run")  # after the threads are set: imports torch
    outcome: JobOutcome
    if waiting.processes == 1:
        outcome = run.run_job_file(waiting.job_file)
        return outcome
    try:
        job = run.read_job(run.job_here(waiting.job_file, ALONE))
    except HarnessError as error:
        return JobOutcome(Path(waiting.job_file).stem, error.kind, str(error))
    return run_gang(waiting.job_file, job, layout_of(job))
