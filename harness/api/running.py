"""What runs jobs and what mirrors their results: executors and trackers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Tracker(Protocol):
    """Copies records to another place. The records stay the truth, and a failure of the copy never stops a run."""

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        """The cells whose present record is not mirrored, as far as is known without asking a server."""

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        """Mirrors those records; gives the reason for each one that could not be. Idempotent."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended. `failure` is a FailureClass or None; `log` a path to the full traceback and output."""

    job_id: str
    failure: str | None = None
    message: str = ""
    log: str = ""
    seconds: float = 0.0
    rank: int = 0
    """Which process of the gang says so."""
    noted: bool = False
    """Whether the failure is on the cell's record already: only rank 0 writes it, and only a reason of its own. Whoever
    handed the job out writes the others, once all processes of the gang have ended."""
    fresh: bool = False
    """Whether the process must not run another job, because this one left something in it that cannot be undone."""
    killed: bool = False
    """Whether the machine ended the process for the memory that all of its processes took together."""
    left: bool = False
    """Whether the process was lost because its machine left the cluster and said so: no try of the job is spent."""


@dataclass(frozen=True)
class Request:
    """What a job holds while it runs."""

    cpus: int = 1
    """Of each process, which has so many threads."""
    gpus: int = 0
    """Of each process: none or one."""
    processes: int = 1
    nodes: int | None = None
    """Machines over which the processes are divided equally; None: as few as possible."""
    patience: float = field(default=600.0, compare=False)
    """Seconds without a sign of life (harness.core.beat) after which a process counts as frozen."""

    @property
    def total(self) -> tuple[int, int]:
        """CPUs and GPUs of all its processes."""
        return self.cpus * self.processes, self.gpus * self.processes

    def __str__(self) -> str:
        own = f"{self.cpus} CPU{'s' * (self.cpus > 1)}" + (f" and {self.gpus} GPU" if self.gpus else "")
        return own if self.processes == 1 else f"{self.processes} processes of {own}"


@dataclass(frozen=True)
class Seat:
    """The place of one process in a gang: the processes that run one job together."""

    rank: int = 0
    """0 to `ranks` - 1; rank 0 alone writes records, journals, checkpoints and the job's log."""
    ranks: int = 1
    local_rank: int = 0
    """Number among the processes of its machine."""
    local_ranks: int = 1
    meet: str = ""
    """host:port where rank 0 lets the others meet it, free when the job starts; empty for a gang of one."""
    host: str = ""
    """Address of this process's own machine, by which the others reach it; its network interface is the one to use."""


@dataclass(frozen=True)
class Shared:
    """What all machines of a run must see alike."""

    out: str
    """Folder of results."""
    data: str
    """Folder of shards and features."""
    plugins: tuple[str, ...] = ()
    """The user's own Python files."""
    fills_data: bool = False
    """Whether jobs write into `data`, and do not only read what lies there."""


ALONE = Seat()
"""The seat of a process that runs a job by itself: a gang of one."""


class Executor(Protocol):
    """Places jobs. Knows nothing of suites or cells."""

    def prove(self, shared: Shared, tell: Callable[[str], None]) -> None:
        """Looks which machines can run jobs at all, before the first; `tell` says whatever goes on beside the jobs.

        Machines that join later are looked at likewise. Raises HarnessError when no machine is left.
        """

    def capacity(self) -> Mapping[str, float]:
        """Total "cpus" and "gpus"."""

    def expect(self, requests: Sequence[Request]) -> None:
        """The resources of all the jobs that will come, so that workers warm up before they are needed.

        Raises HarnessError when one of them can never be met.
        """

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> Any:
        """Starts a job when its resources are free, the lowest `priority` first; gives a handle at once.

        Jobs of one word `near` read the same files, and run on the same machine where that costs hardly any waiting.
        """

    def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
        """Jobs that ended, waiting at most `timeout` seconds for the first."""

    def running(self) -> Iterable[Any]:
        """Handles of the jobs that have started and not ended, the last to start first."""

    def stop(self) -> None:
        """Ends all work at once; whatever ran resumes from its checkpoint next time."""
