"""What runs jobs and what mirrors their results: executors and trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


class Executor(Protocol):
    """Places jobs. Knows nothing of suites or cells."""

    def capacity(self) -> Mapping[str, float]:
        """Total "cpus" and "gpus"."""

    def expect(self, requests: Sequence[Mapping[str, float]]) -> None:
        """The resources of all the jobs that will come, so that workers warm up before they are needed.

        Raises HarnessError when one of them can never be met.
        """

    def submit(self, job_file: str, resources: Mapping[str, float], priority: int = 0) -> Any:
        """Starts a job when its resources are free, the lowest `priority` first; gives a handle at once."""

    def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
        """Jobs that ended, waiting at most `timeout` seconds for the first."""

    def running(self) -> Sequence[Any]:
        """Handles of the jobs that have started and not ended."""

    def stop(self) -> None:
        """Ends all work at once; whatever ran resumes from its checkpoint next time."""
