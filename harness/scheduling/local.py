"""The same jobs without Ray: in this process, one after the other. For debugging and for machines without Ray."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.api.running import JobOutcome, Request
from harness.scheduling.resources import check_capacity
from harness.scheduling.threads import set_threads


@dataclass(order=True)
class _Waiting:
    priority: int
    order: int
    job_file: str = field(compare=False)
    cpus: int = field(compare=False)


class LocalExecutor:
    """Runs a job inside `poll`, where Ctrl-C reaches it directly. The job with the lowest priority number goes first.

    `address` is there because executors are made alike; there is no cluster to connect to.
    """

    def __init__(self, address: str | None = None) -> None:
        self._waiting: list[_Waiting] = []
        self._submitted = 0

    def capacity(self) -> Mapping[str, float]:
        from torch import cuda  # jobs need it anyway; planning, which never asks, does not

        return {"cpus": float(os.cpu_count() or 1), "gpus": float(cuda.device_count())}

    def expect(self, requests: Sequence[Request]) -> None:
        check_capacity(requests, self.capacity())

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> _Waiting:
        waiting = _Waiting(priority, self._submitted, job_file, request.cpus)
        self._submitted += 1
        heapq.heappush(self._waiting, waiting)
        return waiting

    def poll(self, timeout: float) -> Sequence[tuple[_Waiting, JobOutcome]]:
        """Runs the next job to its end, however long that takes."""
        if not self._waiting:
            return ()
        job = self._waiting[0]
        set_threads(job.cpus)
        from harness.jobs.run import run_job_file  # after the threads are set: imports torch

        outcome = run_job_file(job.job_file)
        heapq.heappop(self._waiting)
        return ((job, outcome),)

    def running(self) -> Sequence[_Waiting]:
        """The job that the next `poll` runs."""
        return self._waiting[:1]

    def stop(self) -> None:
        self._waiting.clear()
