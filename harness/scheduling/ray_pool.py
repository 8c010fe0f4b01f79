"""Warm workers on Ray, on this machine or on a cluster. The only file of suite runs that imports Ray.

A worker is an actor: it imports the networks' libraries once and then runs one job after the other, so that a cell
pays neither for a process nor for the import of torch. Workers of a shape (CPUs, GPUs) serve jobs of that shape; idle
ones are ended when they stand in the way of a job of another shape.

On a cluster (`--address auto`, or `host:port`) jobs travel as paths: the output and data folders must be storage that
every node sees under the same path, and every node needs this package at the same version.
"""

from __future__ import annotations

import logging
import os
import signal
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")  # the run says it, in a line

import ray
from ray.exceptions import RayError, RayTaskError

from harness.api.running import JobOutcome, Request
from harness.core.errors import HarnessError
from harness.scheduling.resources import check_address, check_capacity
from harness.scheduling.signals import held_back
from harness.scheduling.threads import set_threads

Shape = tuple[float, float]
"""CPUs and GPUs of a worker."""

WARM_AHEAD = 8
"""Number of workers started before a job waits for them. More would only hold memory when jobs depend on each other."""

OBJECT_STORE = 100 * 2**20
"""Bytes of shared memory that Ray holds on a local cluster: jobs pass nothing through it but paths and outcomes."""


class Worker:
    """The process that runs jobs. Made an actor by `RayPool`."""

    def __init__(self, cpus: int, gpus: int, folder: str) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the driver decides
        set_threads(cpus)
        if not gpus:  # Ray leaves all devices visible to an actor that asked for none
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        if os.path.isdir(folder):  # so that relative paths in a suite's options mean the same here
            os.chdir(folder)

    def ready(self) -> int:
        """Imports what jobs need, now that the variables that torch reads are set. Gives the process id."""
        for name in ("run", "shards", "features", "train", "evaluate"):
            import_module(f"harness.jobs.{name}")
        return os.getpid()

    def run(self, job_file: str) -> JobOutcome:
        from harness.jobs.run import run_job_file

        return run_job_file(job_file)


@dataclass(order=True)
class Ticket:
    """A submitted job, in the order in which it is to start."""

    priority: int
    order: int
    job_file: str = field(compare=False)
    shape: Shape = field(compare=False)
    started: float = field(default=0.0, compare=False)


@dataclass(eq=False)
class _Slot:
    """The place of a worker in the pool: starting (its process imports), idle, or busy with a ticket."""

    shape: Shape
    actor: Any
    starting: Any
    """Reference of the pending `ready` call; None once the worker is warm."""
    pid: int = 0
    ticket: Ticket | None = None
    outcome: Any = None
    """Reference of the pending `run` call."""

    @property
    def idle(self) -> bool:
        return self.starting is None and self.ticket is None


class RayPool:
    """Executor on Ray. Starts a cluster on this machine, or joins the one at `address` ("auto" or "host:port").

    `cpus` and `gpus` limit a local cluster; None: all that this machine has. Raises HarnessError when Ray does not
    start or does not answer, and KeyboardInterrupt for a Ctrl-C meanwhile, once Ray has started and ended again.
    """

    def __init__(self, address: str | None = None, *, cpus: int | None = None, gpus: int | None = None) -> None:
        self._local = address is None
        _connect(address, cpus, gpus)
        self._slots: list[_Slot] = []
        self._queue: list[Ticket] = []
        self._submitted = 0
        self._full: set[Shape] = set()
        """Shapes for which nothing was free when jobs were last placed, and nothing has ended since."""

    def capacity(self) -> Mapping[str, float]:
        total = ray.cluster_resources()
        return {"cpus": total.get("CPU", 0.0), "gpus": total.get("GPU", 0.0)}

    def expect(self, requests: Sequence[Request]) -> None:
        """Starts the first workers in the background, in the order in which their shapes are asked for."""
        check_capacity(requests, self.capacity())
        shapes = Counter(_shape(request) for request in requests)
        _check_nodes(shapes)
        for shape, count in shapes.items():
            for _ in range(min(count, WARM_AHEAD - len(self._slots))):
                if _fits(shape, self._free(self.capacity())):
                    self._slots.append(_start_worker(shape))

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> Ticket:
        ticket = Ticket(priority, self._submitted, job_file, _shape(request))
        self._submitted += 1
        insort(self._queue, ticket)
        if ticket.shape not in self._full:
            self._place()
        return ticket

    def poll(self, timeout: float) -> Sequence[tuple[Ticket, JobOutcome]]:
        """See Executor. Raises HarnessError when workers cannot start at all."""
        ended: list[tuple[Ticket, JobOutcome]] = []
        deadline = monotonic() + timeout
        while not ended:
            pending = {slot.starting or slot.outcome: slot for slot in self._slots if not slot.idle}
            if not pending:
                break
            done, _ = ray.wait(list(pending), timeout=max(0.0, deadline - monotonic()), fetch_local=False)
            if not done:
                break
            more, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0, fetch_local=False)
            for reference in more:
                ended.extend(self._collect(pending[reference]))
            self._place()
        return ended

    def running(self) -> Sequence[Ticket]:
        return [slot.ticket for slot in self._slots if slot.ticket is not None]

    def stop(self) -> None:
        """Kills all workers, then leaves the cluster (a local one ends)."""
        for slot in self._slots:
            ray.kill(slot.actor, no_restart=True)
        self._slots.clear()
        self._queue.clear()
        ray.shutdown()

    def _place(self) -> None:
        """Gives waiting jobs to idle workers, in order, and starts workers for those that find none."""
        capacity = self.capacity()
        starting = Counter(slot.shape for slot in self._slots if slot.starting is not None)
        self._full.clear()
        waiting: list[Ticket] = []
        for ticket in self._queue:
            shape = ticket.shape
            slot = None if shape in self._full else next((s for s in self._slots if s.idle and s.shape == shape), None)
            if slot is not None:
                ticket.started = monotonic()
                slot.ticket, slot.outcome = ticket, slot.actor.run.remote(ticket.job_file)
                continue
            waiting.append(ticket)
            if starting[shape]:
                starting[shape] -= 1  # a worker that is starting will take this job
            elif shape not in self._full and self._make_room(shape, capacity):
                self._slots.append(_start_worker(shape))
            else:
                self._full.add(shape)
        self._queue = waiting

    def _free(self, capacity: Mapping[str, float]) -> Shape:
        cpus, gpus = (sum(slot.shape[axis] for slot in self._slots) for axis in (0, 1))
        return capacity["cpus"] - cpus, capacity["gpus"] - gpus

    def _make_room(self, shape: Shape, capacity: Mapping[str, float]) -> bool:
        """Whether a worker of this shape fits, if need be after ending idle workers of other shapes."""
        free = self._free(capacity)
        idle = [slot for slot in self._slots if slot.idle and slot.shape != shape]
        if not _fits(shape, tuple(free[axis] + sum(slot.shape[axis] for slot in idle) for axis in (0, 1))):
            return False
        for slot in idle:
            if _fits(shape, self._free(capacity)):
                break
            self._end_worker(slot)
        return True

    def _end_worker(self, slot: _Slot) -> None:
        ray.kill(slot.actor, no_restart=True)
        self._slots.remove(slot)

    def _collect(self, slot: _Slot) -> list[tuple[Ticket, JobOutcome]]:
        """Takes what a worker's pending call gave. A dead worker's job counts as lost."""
        try:
            result = ray.get(slot.starting or slot.outcome)
        except RayTaskError as error:
            raise HarnessError(
                f"workers cannot run jobs: {error.cause!r}",
                hint="install the same version of priorbench on every node; --debug shows the traceback",
            ) from error
        except RayError as error:
            self._end_worker(slot)  # also when it is only out of reach: two workers must never run one job
            return self._lost(slot, error)
        if slot.starting is not None:
            slot.starting, slot.pid = None, result
            return []
        ticket, slot.ticket, slot.outcome = slot.ticket, None, None
        assert ticket is not None
        return [(ticket, result)]

    def _lost(self, slot: _Slot, error: RayError) -> list[tuple[Ticket, JobOutcome]]:
        ticket = slot.ticket
        if ticket is None:  # died while it started: blame the job that waits for it, so that retries are counted
            ticket = next((ticket for ticket in self._queue if ticket.shape == slot.shape), None)
            if ticket is None:
                return []
            self._queue.remove(ticket)
        seconds = monotonic() - ticket.started if ticket.started else 0.0
        return [(ticket, JobOutcome(Path(ticket.job_file).stem, "worker_lost", _cause(error), seconds=seconds))]


def _start_worker(shape: Shape) -> _Slot:
    cpus, gpus = shape
    actor = ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus).remote(int(cpus), int(gpus), os.getcwd())
    return _Slot(shape, actor, actor.ready.remote())


def _check_nodes(shapes: Iterable[Shape]) -> None:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for cpus, gpus in shapes:
        if not any(_fits((cpus, gpus), (node.get("CPU", 0.0), node.get("GPU", 0.0))) for node in nodes):
            raise HarnessError(
                f"no machine of the cluster has {cpus:g} CPUs and {gpus:g} GPUs at once",
                where="run.cpus, run.gpus of the suite",
                hint="lower them with --set run.cpus=…, or add a larger node",
            )


def _shape(request: Request) -> Shape:
    return request.total


def _fits(shape: Shape, free: tuple[float, ...]) -> bool:
    return shape[0] <= free[0] and shape[1] <= free[1]


def _cause(error: RayError) -> str:
    """What Ray's message says about the end of the process, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "exit detail" in line.lower() or "memory" in line.lower()]
    text = (telling or lines or ["the worker process ended"])[0]
    return text.partition("Worker exit detail: ")[2].partition(" Some common causes")[0] or text[:300]


def _connect(address: str | None, cpus: int | None, gpus: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address not in (None, "auto"):
        check_address(address)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        options |= {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        with held_back("stopping, as soon as Ray has started"):
            ray.init(address=address or "local", **options)
    except (KeyboardInterrupt, SystemExit):  # the latter is Ray's own answer to SIGTERM
        with held_back():
            ray.shutdown()
        raise KeyboardInterrupt from None
    except (RayError, ConnectionError, OSError, ValueError, RuntimeError) as error:
        hint = "start one with `ray start --head`, or leave --address away" if address else "`--executor local`"
        if "AF_UNIX" in str(error):
            hint = "set RAY_TMPDIR to a folder with a shorter name"
        raise HarnessError(f"Ray does not start: {error}", where=address or "this machine", hint=hint) from error
