"""A gang on this machine: one process for each seat, started for one job and ended together."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from time import monotonic

from harness.api.running import JobOutcome, Seat
from harness.core.errors import HarnessError
from harness.core.outlast import make_folder, outlast
from harness.core.paths import Layout
from harness.jobs.verdict import GRACE, decide
from harness.planning.job import Job

HERE = "127.0.0.1"

SILENCE = 60.0
"""Seconds after which a process that says nothing counts as frozen."""

_LEAVE = 10.0
"""Seconds that the first process has to note a Ctrl-C."""

_LOOK = 0.2


@dataclass
class _Process:
    """One process, as it is heard."""

    seat: Seat
    popen: subprocess.Popen[bytes]
    line: socket.socket
    job_id: str
    log: str
    began: float = field(default_factory=monotonic)
    heard: float = field(default_factory=monotonic)
    moved: float = field(default_factory=monotonic)
    beats: int = -1
    text: bytes = b""
    open: bool = True
    outcome: JobOutcome | None = None

    def hear(self) -> None:
        """Takes in what has come, or that the process has ended."""
        try:
            content = self.line.recv(1 << 16)
        except OSError:
            content = b""
        self.heard = monotonic()
        if not content:
            self.open = False
            if self.outcome is None:
                self.outcome = self._lost(_ending(self.popen))
            return
        *lines, self.text = (self.text + content).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "outcome" in said:
                self.outcome = JobOutcome(**said["outcome"])
            elif said["beats"] != self.beats:
                self.beats, self.moved = said["beats"], self.heard

    def lose(self, why: str) -> None:
        """Takes the process for lost."""
        self.outcome = self._lost(why)

    def _lost(self, why: str) -> JobOutcome:
        what = f"process {self.popen.pid} (rank {self.seat.rank} of {self.seat.ranks}) {why}"
        return JobOutcome(self.job_id, "worker_lost", what, self.log, monotonic() - self.began, self.seat.rank)


def run_gang(file: str, job: Job, layout: Layout, *, loud: bool = False) -> JobOutcome:
    """Runs a job in as many processes of this machine as it asks for; ends them all when one of them fails.

    `loud`: the first one logs to this process's stderr as well. A Ctrl-C here is the first one's, which notes it; then
    all are ended, and KeyboardInterrupt goes on. None of them outlives this process.
    """
    try:
        with _started(file, job, layout, ["--loud"] if loud else []) as processes:
            return _watched(processes, job.run.patience)
    except HarnessError as error:
        return JobOutcome(job.id, error.kind, str(error))


def debug_gang(file: str, job: Job, layout: Layout) -> int:
    """As `run_gang`, with the exception let through where it is raised; gives the exit code."""
    with _started(file, job, layout, ["--loud", "--debug"]) as processes:
        codes = [process.popen.wait() for process in processes]
    return int(any(codes))


@contextmanager
def _started(file: str, job: Job, layout: Layout, options: Sequence[str]) -> Iterator[list[_Process]]:
    """The gang's processes, none of which is left when the block ends. Raises HarnessError for too few GPUs."""
    _check_gpus(job)
    processes: list[_Process] = []
    meet = f"{HERE}:{_free_port()}"
    try:
        for rank in range(job.processes):
            seat = Seat(rank, job.processes, rank, job.processes, meet, HERE)
            processes.append(_start(file, seat, job.id, layout.job_log(job.id, rank), options))
        yield processes
    except KeyboardInterrupt:
        _interrupt(processes)
        raise
    finally:
        _end(processes)


def _check_gpus(job: Job) -> None:
    """Raises HarnessError when the processes would have to share this machine's GPUs, which NCCL does not do."""
    found = 0 if job.run.gpus == 0 else import_module("torch").cuda.device_count()
    if 0 < found < job.processes:
        what = f"{job.processes} processes need a GPU each, and this machine shows {found}"
        raise HarnessError(what, where="run.gpus of the suite", hint="run with --set run.gpus=0 or fewer processes")


def _start(file: str, seat: Seat, job_id: str, log: Path, options: Sequence[str]) -> _Process:
    """Starts one process. What Python's logging does not see of it goes to its log as well, unless it is the first of a
    loud gang."""
    if seat.rank:
        options = [option for option in options if option != "--loud"]
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "harness.jobs.rank", file, "--seat", json.dumps(asdict(seat))]
    with theirs, open(os.devnull if "--loud" in options else _kept(log), "ab") as kept:
        output = None if "--loud" in options else kept
        popen = subprocess.Popen(
            [*command, "--tell", str(theirs.fileno()), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a Ctrl-C at the terminal is told by this process
        )
    return _Process(seat, popen, ours, job_id, str(log))


def _kept(log: Path) -> Path:
    """The log, or nowhere, where it cannot be written: that costs no result."""
    try:
        outlast(lambda: make_folder(log.parent), log)
        with open(log, "ab"):
            return log
    except OSError:
        return Path(os.devnull)


def _watched(processes: Sequence[_Process], patience: float) -> JobOutcome:
    """The job's outcome: after the first failure and its grace, or when all are done."""
    ended: list[JobOutcome] = []
    until: float | None = None
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process.line, selectors.EVENT_READ, process)
        while len(ended) < len(processes) and (until is None or monotonic() < until):
            for key, _ in selector.select(_LOOK):
                key.data.hear()
                if not key.data.open:
                    selector.unregister(key.fileobj)
            _watch([process for process in processes if process.outcome is None], patience)
            for process in processes:
                if process.outcome is not None and process.outcome not in ended:
                    ended.append(process.outcome)
            if until is None and any(outcome.failure for outcome in ended):
                until = monotonic() + GRACE
    return decide(ended)


def _watch(processes: Sequence[_Process], patience: float) -> None:
    """Takes a process for lost that is silent; where none gets on any more, the one that stopped first: the others wait
    for it."""
    now = monotonic()
    for process in processes:
        if now - process.heard > SILENCE:
            process.lose(f"has said nothing for {now - process.heard:.0f} s: it is frozen")
    if processes and all(now - process.moved > patience for process in processes):
        first = min(processes, key=lambda process: process.moved)
        first.lose(f"has made no progress for {now - first.moved:.0f} s")


def _interrupt(processes: Sequence[_Process]) -> None:
    """Lets the process that writes note the user's Ctrl-C."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        processes[0].popen.send_signal(signal.SIGINT)
        processes[0].popen.wait(_LEAVE)


def _end(processes: Sequence[_Process]) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.popen.pid, signal.SIGKILL)  # with what a part has started
    for process in processes:
        process.popen.wait()
        process.line.close()


def _ending(popen: subprocess.Popen[bytes]) -> str:
    """How a process ended that did not say so."""
    try:
        code = popen.wait(1.0)
    except subprocess.TimeoutExpired:
        return "has closed its line"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has left with exit code {code}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])
