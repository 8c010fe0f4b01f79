"""What state a cell is in, and what its worker last said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from harness.records.job_ids import said_kind

CellState = Literal["todo", "running", "done", "failed", "stale", "blocked"]
"""`todo`: nothing yet, or only part of it. `running`: a worker has it. `done`: all that the suite asks for is on
record. `failed`: the last attempt failed; the next run tries again. `stale`: the result no longer belongs to what it
was made from and is made again. `blocked`: weights or data are missing."""

JobState = Literal["todo", "done", "stale", "blocked"]
"""As for cells. `todo` and `stale` jobs are to be run."""


@dataclass(frozen=True)
class Activity:
    """The last sign of life of a cell's worker."""

    job: str
    kind: str
    """What its job does, e.g. `train`."""
    event: str
    time: str
    """UTC, ISO 8601."""
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    images_per_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the worker said that it was through."""
        return self.event == "end"

    def __str__(self) -> str:
        text = self.kind if self.step is None else f"{self.kind} step {self.step}/{self.steps or '?'}"
        return text if self.loss is None else f"{text}, loss {self.loss:.4f}"


def activity(events: Iterable[dict[str, Any]]) -> Activity | None:
    """The newest event, with the step, loss and speed that the same job last reported. None without events."""
    latest: dict[str, Any] = {}
    for event in events:
        if event.get("event") == "start" or event.get("job") != latest.get("job"):
            latest = {}
        latest.update(event)
    if not latest:
        return None
    job = str(latest.get("job", ""))
    return Activity(
        job=job,
        kind=str(latest.get("kind") or said_kind(job)),
        event=str(latest.get("event", "")),
        time=str(latest.get("time", "")),
        **{name: latest.get(name) for name in ("step", "steps", "loss", "images_per_s")},
    )
