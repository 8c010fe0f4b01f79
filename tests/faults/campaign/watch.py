"""Looks at a run's folder while it goes on: how far every cell is, when anything last moved, what attempts lost."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Resume:
    """A training that began again."""

    cell: str
    at: float
    """Monotonic seconds."""
    seen: int
    """The furthest step that was on its journal before."""
    step: int
    """The step that it went on from."""

    @property
    def lost(self) -> int:
        return max(0, self.seen - self.step)


def nothing() -> None:
    """The journals lie where they are written."""


@dataclass
class Watch:
    """A thread that reads the journals of all cells again and again. `copies`: where the working copies of stores lie.
    `bring`: puts the journals where they are read."""

    out: Path
    copies: Path
    bring: Callable[[], None] = nothing
    moved: float = field(default_factory=time.monotonic)
    """When a journal, a record or a job's file last changed."""
    resumes: list[Resume] = field(default_factory=list)
    steps: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """By cell, when which step was first seen."""

    def __post_init__(self) -> None:
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._seen: dict[str, int] = defaultdict(int)
        self._starts: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._ended.wait(0.25):
            self._look()

    def _look(self) -> None:
        self.bring()
        now = time.monotonic()
        for path in (*self.out.glob("cells/*/*.json*"), *self._jobs("*.json"), *self._jobs("*.log")):
            try:
                status = path.stat()
            except OSError:
                continue
            stamp = status.st_mtime_ns, status.st_size
            if self._stamps.get(path) != stamp:
                self._stamps[path] = stamp
                self.moved = now
                if path.name == "events.jsonl":
                    self._read(path, now)

    def _jobs(self, name: str) -> list[Path]:
        return [*self.out.glob(f"jobs/{name}"), *self.copies.glob(f"*/files/jobs/{name}")]

    def _read(self, path: Path, now: float) -> None:
        cell = path.parent.name
        try:
            lines = [json.loads(line) for line in path.read_text().splitlines() if line]
        except (OSError, ValueError):
            return  # it is being written
        train = [line for line in lines if line.get("kind") == "train"]
        starts = [f"{line['time']} {line.get('step', 0)}" for line in train if line["event"] == "start"]
        if starts and starts[-1] != self._starts.get(cell):
            if cell in self._starts:
                at = int(starts[-1].rpartition(" ")[2])
                self.resumes.append(Resume(cell, now, self._seen[cell], at))
                self._seen[cell] = at
            self._starts[cell] = starts[-1]
        step = max((int(line["step"]) for line in train if line["event"] in ("step", "checkpoint")), default=0)
        if step > self._seen[cell]:
            self._seen[cell] = step
            self.steps[cell].append((now, step))


def doubled(out: Path) -> list[str]:
    """Cells whose loss curve holds a step twice."""
    found = []
    for path in out.glob("cells/*/events.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        steps = [line["step"] for line in lines if line["event"] == "step" and line.get("kind") == "train"]
        if len(steps) != len(set(steps)):
            found.append(path.parent.name)
    return found


def left_over(*folders: Path) -> list[str]:
    """Temporary files and folders, and those of work that did not end, such as what waits for its way to a store."""
    patterns = ("**/*.tmp", "**/.nonce*", "**/.*.anew", "**/.*.old", "copies/*/outgoing/*")
    return sorted(str(path) for folder in folders for pattern in patterns for path in folder.glob(pattern))
