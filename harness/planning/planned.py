"""A job of a plan: whether it is to be run, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.planning.job import Job
from harness.records.state import JobState


@dataclass(frozen=True)
class PlannedJob:
    """A job, whether it is to be run (`todo` and `stale` are), and why."""

    id: str
    job: Job
    state: JobState
    reason: str
    estimate_s: float | None
    """Expected wall time; None when nothing like it is on record."""
    cells: tuple[str, ...]
    """Ids of the cells that need it, directly or through other jobs."""
    alone_s: float | None = None
    """`estimate_s` of a training without the job ahead of it that trains its group (harness.planning.together)."""

    @property
    def runs(self) -> bool:
        """Whether the job is to be run."""
        return self.state in ("todo", "stale")

    def set_aside(self) -> PlannedJob:
        """The same job, left for another run if it was to be run."""
        return replace(self, state="blocked", reason="left for another run") if self.runs else self
