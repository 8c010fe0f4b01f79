"""The progress of `bench data prepare`: images done, images a second, time left."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from harness.api.running import JobOutcome
from harness.api.sets import PreparedSet
from harness.api.shard_parts import NOTE, SHARD_IMAGES, waiting_folder
from harness.core.text import first_line, printable
from harness.planning.job import Job
from harness.planning.plan import Plan
from harness.planning.table import duration

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_EVERY = 10.0
"""Seconds between lines where there is no terminal."""
REDRAW = 0.5
"""Seconds between two looks at what is done, in a terminal."""


Sets = Sequence[tuple[PreparedSet, int]]
"""Some sets, each with how many images it has in all."""


def images_done(sets: Sets, data: Path, old: Mapping[Path, int] | None = None) -> int:
    """How many images of some sets are in finished shards.

    `old`: the inodes of folders whose sets are made again. What lies there counts when another has taken its place.
    """
    return sum(_done(stored, total, data, old or {}) for stored, total in sets)


def _done(stored: PreparedSet, total: int, data: Path, old: Mapping[Path, int]) -> int:
    folder = stored.folder(data)
    if (there := _inode(folder)) is not None and there != old.get(folder):
        return total
    try:
        names = [entry.name for entry in os.scandir(waiting_folder(stored, data)) if not entry.name.startswith(".")]
    except OSError:
        return 0
    last = (total - 1) // SHARD_IMAGES
    found = [int(name) for name in names if name.isdigit() and (waiting_folder(stored, data) / name / NOTE).exists()]
    return sum(total - last * SHARD_IMAGES if shard == last else SHARD_IMAGES for shard in found if shard <= last)


def _inode(folder: Path) -> int | None:
    try:
        return os.lstat(folder).st_ino
    except OSError:
        return None


def told(done: int, total: int, new: int, seconds: float) -> str:
    """`4,096/13,712 images · 61.2 images/s · 3 min left`. `new`: those of the last `seconds`."""
    text = f"{done:,}/{total:,} images"
    if not new or seconds <= 0:
        return text
    pace = new / seconds
    left = f" · {duration((total - done) / pace)} left" if done < total else ""
    return f"{text} · {pace:.1f} images/s{left}"


class PreparingDisplay:
    """Shows how far some sets are (harness.scheduling.drive.Display): a bar in a terminal, a line now and then
    elsewhere."""

    def __init__(self, sets: Sets, data: Path, again: Collection[PreparedSet] = ()) -> None:
        self._sets, self._data, self._total = sets, data, sum(total for _, total in sets)
        folders = {folder: _inode(folder) for folder in (stored.folder(data) for stored in again)}
        self._old = {folder: inode for folder, inode in folders.items() if inode is not None}
        """Of sets that are made again whatever lies there."""
        self._before = self._done()
        self._began: float | None = None
        self._ended = Event()
        self._bar = _bar() if sys.stdout.isatty() else None
        self._thread = Thread(target=self._beat, name="progress", daemon=True)

    @property
    def left(self) -> int:
        """How many images were not done when this was made."""
        return self._total - self._before

    @property
    def line(self) -> str:
        """What is done now."""
        done = self._done()
        seconds = 0.0 if self._began is None else monotonic() - self._began
        return told(done, self._total, done - self._before, seconds)

    def _done(self) -> int:
        return images_done(self._sets, self._data, self._old)

    def begin(self, plan: Plan) -> None:
        if self._before:
            self.say(f"goes on: {self._before:,} of {self._total:,} images are there")
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(plan.suite, total=self._total, said="")
        self._thread.start()

    def started(self, job: Job) -> None:
        if self._began is None:  # workers take a while to come up, which says nothing of the pace
            self._began = monotonic()

    def finished(self, job: Job, outcome: JobOutcome) -> None: ...

    def retrying(self, job: Job, outcome: JobOutcome, retry: int) -> None:
        what = "started again" if outcome.left else f"worker lost, retry {retry} of {job.run.retries}"
        self.say(f"{what}: {job.title} · {first_line(outcome.message)}")

    def warn(self, message: str) -> None:
        self.say(f"warning: {first_line(message)}")

    def say(self, line: str) -> None:
        """One line, above the bar where there is one."""
        if self._bar is None:
            print(printable(line), flush=True)
        else:
            self._bar.console.print(printable(line), markup=False, highlight=False)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        if self._bar is None:
            self.say(self.line)
        else:
            self._redraw(self._bar)
            self._bar.stop()

    def _beat(self) -> None:
        while not self._ended.wait(REDRAW if self._bar is not None else LINE_EVERY):
            if self._bar is None:
                self.say(self.line)
            else:
                self._redraw(self._bar)

    def _redraw(self, bar: Progress) -> None:
        bar.update(self._task, completed=self._done(), said=self.line)


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}", markup=False))
