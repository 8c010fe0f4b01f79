"""The events of a running job: lines of the cell's events.jsonl, among them the loss curve."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.records.store import append_event, read_events, rewrite_events
from harness.training.engines.base import Engine


@dataclass(frozen=True)
class Journal:
    """The events of one job of a cell. Only rank 0 writes."""

    layout: Layout
    cell_id: str
    job_id: str
    kind: str
    """What the job does: `train` or `evaluate`."""
    writes: bool = True

    def write(self, event: str, **fields: Any) -> None:
        """Adds a line: `start`, `step`, `checkpoint`, `warning` or `end`, with the time in UTC."""
        if self.writes:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = {"time": now, "job": self.job_id, "kind": self.kind, "event": event}
            append_event(self.layout, self.cell_id, line | fields)

    def rewind(self, step: int) -> None:
        """Drops this job's events after `step`; a resumed training writes them again."""
        if self.writes:
            events = read_events(self.layout, self.cell_id)
            kept = [line for line in events if line.get("job") != self.job_id or line.get("step", 0) <= step]
            if len(kept) < len(events):
                rewrite_events(self.layout, self.cell_id, kept)


@dataclass(frozen=True)
class Pending:
    """The loss of the steps since the last line of the curve."""

    sums: tuple[float, ...] = ()
    """Over these steps, of each rank."""
    steps: int = 0

    def of(self, rank: int, ranks: int) -> float:
        """A rank's part of it; another number of ranks than there were shares it equally, as their mean counts."""
        if not self.sums:
            return 0.0
        return self.sums[rank] if len(self.sums) == ranks else math.fsum(self.sums) / len(self.sums)


class Copied:
    """A number of a device on its way to the host, for which nobody waits before it is asked for."""

    def __init__(self, value: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if value.is_cuda:
            self._host = torch.empty_like(value, device="cpu", pin_memory=True)
            self._host.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(value.device))
        else:
            self._host = value.clone()

    @property
    def at_once(self) -> bool:
        """Whether the host computes it, so that there is nothing to wait for."""
        return self._event is None

    def there(self) -> bool:
        """Whether the device has come so far."""
        return self._event is None or self._event.query()

    def number(self) -> float:
        """The number; waits for the device."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._host)


@dataclass(frozen=True)
class _Line:
    """A line of the curve whose loss may still be on its way."""

    step: int
    steps: int
    lr: float
    loss: Copied
    """The sum over `count` steps, the mean over ranks."""
    count: int
    images: int


class LossCurve:
    """Mean loss over the steps since the last line, so that no step is unseen: one NaN makes the mean NaN.

    The sum stays on the device. A line is written once the sum of its steps has reached the host, without waiting: on a
    CPU at once, on a GPU some steps later. It is waited for where all ranks come together anyway, at the next line and
    at a checkpoint, and there a NaN is said, by all of them in the same step.
    """

    def __init__(self, journal: Journal, engine: Engine, *, pending: Pending, last: float = math.nan) -> None:
        """`last`: the mean of the last line that was written before."""
        self.last = last
        self._journal, self._engine = journal, engine
        self._sum = torch.tensor(pending.of(engine.rank, engine.ranks), dtype=torch.float32, device=engine.device)
        self._steps = pending.steps
        self._timed_images, self._since = 0, time.perf_counter()
        self._lines: deque[_Line] = deque()

    def add(self, loss: Tensor, *, images: int) -> None:
        """Counts one step's loss, and the images of its batch over all processes; writes lines that have arrived."""
        self._sum += loss
        self._steps += 1
        self._timed_images += images
        while self._lines and self._lines[0].loss.there() and math.isfinite(self._lines[0].loss.number()):
            self._write(self._lines.popleft())

    def line(self, step: int, *, steps: int, lr: float) -> None:
        """Ends a line (collective). Raises HarnessError (kind `nan`), on every rank, for this or the line before."""
        self.settle()
        loss = Copied(self._engine.mean(self._sum))
        self._lines.append(_Line(step, steps, lr, loss, self._steps, self._timed_images))
        self._sum.zero_()
        self._steps, self._timed_images = 0, 0
        if loss.at_once:
            self.settle()

    def settle(self) -> None:
        """Waits for all lines, and writes them. Raises HarnessError (kind `nan`), on every rank."""
        while self._lines:
            self._write(self._lines.popleft())

    def pending(self, step: int) -> Pending:
        """What is to come into the next line (collective). Raises HarnessError (kind `nan`), on every rank."""
        self.settle()
        sums = self._engine.gather(float(self._sum))
        if not all(map(math.isfinite, sums)):
            raise not_finite("the loss", step)
        return Pending(tuple(sums), self._steps)

    def _write(self, line: _Line) -> None:
        mean = line.loss.number() / line.count
        if not math.isfinite(mean):
            raise not_finite("the loss", line.step)
        now = time.perf_counter()
        speed = round(line.images / max(now - self._since, 1e-9), 2)
        self._journal.write("step", step=line.step, steps=line.steps, loss=mean, lr=line.lr, images_per_s=speed)
        self.last, self._since = mean, now


def not_finite(what: str, step: int) -> HarnessError:
    """The error for a loss or weights that became NaN or infinite at or shortly before a step."""
    return HarnessError(
        f"{what} stopped being a finite number at or before step {step}",
        where=f"step {step}",
        hint="a lower lr, a warm-up, clip_grad, or precision fp32 in the recipe",
        kind="nan",
    )
