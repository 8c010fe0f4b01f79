"""The progress of `bench run`: a live board in a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.api.running import JobOutcome
from harness.core.paths import Layout
from harness.core.text import first_line, on_one_line, printable
from harness.planning.job import Job
from harness.planning.plan import Plan
from harness.records.state import activity

if TYPE_CHECKING:
    from rich.console import RenderableType

HEARTBEAT = 60.0
"""Seconds between lines about running jobs where there is no terminal."""

TAIL = 8192
"""Bytes read from the end of a loss curve: a few dozen events."""


def last_events(path: Path) -> list[dict[str, Any]]:
    """The last events of a cell, without reading the whole curve. Lines that are cut off are left out."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, handle.seek(0, 2) - TAIL))
            lines = handle.read().splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]


def activity_line(events: list[dict[str, Any]], job_id: str) -> str:
    """`train step 120/300, loss 0.0312, 0:01:10 left` from a cell's last events; empty before the job's first step."""
    own = [event for event in events if event.get("job") == job_id]
    starts = [place for place, event in enumerate(own) if event.get("event") == "start"]
    own = own[starts[-1] if starts else 0 :]
    now = activity(own)
    if now is None or now.step is None:
        return ""
    steps = [event for event in own if event.get("event") == "step"]
    first, last = (steps[0], steps[-1]) if steps else ({}, {})
    if now.steps and last.get("step", 0) > first.get("step", 0):
        seconds = (datetime.fromisoformat(last["time"]) - datetime.fromisoformat(first["time"])).total_seconds()
        left = seconds / (last["step"] - first["step"]) * (now.steps - last["step"])
        return f"{now}, {timedelta(seconds=round(left))} left"
    return str(now)


def _newest(events: list[dict[str, Any]], job_id: str) -> str:
    """When a job last said something, UTC, ISO 8601; empty when it has not."""
    return max((str(event.get("time", "")) for event in events if event.get("job") == job_id), default="")


@dataclass
class Board:
    """The state that both displays show. The driver's thread changes it, the display's own thread reads it."""

    layout: Layout
    total: int = 0
    done: int = 0
    failed: int = 0
    running: dict[str, tuple[Job, float]] = field(default_factory=dict)
    """Job and the time of its start, by job id."""
    began: float = field(default_factory=monotonic)
    lock: RLock = field(default_factory=RLock)

    @property
    def waiting(self) -> int:
        return max(0, self.total - self.done - self.failed - len(self.running))

    def headline(self) -> str:
        elapsed = timedelta(seconds=round(monotonic() - self.began))
        counts = f"{self.done}/{self.total} jobs done · {len(self.running)} running · {self.waiting} waiting"
        return f"{counts}{f' · {self.failed} failed' if self.failed else ''} · {elapsed}"

    def running_lines(self) -> list[str]:
        """One line per running job, with the state of its training."""
        with self.lock:
            running = list(self.running.values())
        lines = []
        for job, started in running:
            where = replace(self.layout, anew=frozenset(job.anew))
            told = [(last_events(where.events(cell)), own) for cell, own in job.journals.items()]
            # Of several cells that are trained together the one that was heard of last stands for all.
            events, own = max(told, key=lambda one: _newest(*one), default=([], ""))
            state = activity_line(events, own)
            lines.append(f"{job.title} · {state or f'{monotonic() - started:.0f} s'}")
        return lines


class _BoardDisplay:
    """Keeps the board (harness.scheduling.drive.Display); subclasses show it."""

    def __init__(self, layout: Layout) -> None:
        self.board = Board(layout)

    def say(self, line: str) -> None:
        raise NotImplementedError

    def begin(self, plan: Plan) -> None:
        self.board.total = len(plan.to_run)

    def started(self, job: Job) -> None:
        with self.board.lock:
            self.board.running[job.id] = job, monotonic()

    def finished(self, job: Job, outcome: JobOutcome) -> None:
        with self.board.lock:
            self.board.running.pop(job.id, None)
            if outcome.failure is None:
                self.board.done += 1
            else:
                self.board.failed += 1
            place = f"[{self.board.done + self.board.failed}/{self.board.total}]"
        if outcome.failure is None:
            self.say(f"{place} {job.title} · {outcome.seconds:.1f} s")
        else:
            self.say(f"{place} FAILED ({outcome.failure}) {job.title} · {first_line(outcome.message)}")

    def retrying(self, job: Job, outcome: JobOutcome, retry: int) -> None:
        with self.board.lock:
            self.board.running.pop(job.id, None)
        if outcome.failure == "memory":
            what = "out of memory, once more with half the micro-batch"
        else:
            what = "started again" if outcome.left else f"worker lost, retry {retry} of {job.run.retries}"
        self.say(f"{what}: {job.title} · {first_line(outcome.message)}")

    def warn(self, message: str) -> None:
        self.say(f"warning: {first_line(message)}")

    def end(self) -> None: ...


class LineDisplay(_BoardDisplay):
    """One line per job that ends, and one per minute about the running ones."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._ended = Event()
        self._thread = Thread(target=self._beat, name="progress", daemon=True)

    def say(self, line: str) -> None:
        print(printable(line), flush=True)

    def begin(self, plan: Plan) -> None:
        super().begin(plan)
        self._thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            self.say(" … ".join([self.board.headline(), *self.board.running_lines()]))

    def end(self) -> None:
        self._ended.set()


class LiveDisplay(_BoardDisplay):
    """A board at the bottom of the terminal; lines about ended jobs scroll by above it."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=2, transient=True)

    def _render(self) -> RenderableType:
        from rich.text import Text

        width = self._console.width
        lines = [self.board.headline(), *(f"  {on_one_line(line)}" for line in self.board.running_lines())]
        return Text("\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in lines))

    def say(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False)

    def begin(self, plan: Plan) -> None:
        super().begin(plan)
        self._live.start(refresh=True)

    def end(self) -> None:
        self._live.stop()


def make_display(layout: Layout) -> LineDisplay | LiveDisplay:
    """The display that fits standard output."""
    return LiveDisplay(layout) if sys.stdout.isatty() else LineDisplay(layout)
