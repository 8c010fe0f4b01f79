"""The events of a running job: lines of the cell's events.jsonl, among them the loss curve."""

from __future__ import annotations

import math
import time
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


class LossCurve:
    """Mean loss over the steps since the last line, so that no step is unseen: one NaN makes the mean NaN.

    The sum stays on the device; reading it waits for the device, so it is read only for a line or a checkpoint.
    """

    def __init__(self, journal: Journal, engine: Engine, *, pending: Pending) -> None:
        self._journal, self._engine = journal, engine
        self._sum = torch.tensor(pending.of(engine.rank, engine.ranks), dtype=torch.float32, device=engine.device)
        self._steps = pending.steps
        self._timed_images, self._since = 0, time.perf_counter()

    def add(self, loss: Tensor, *, images: int) -> None:
        """Counts one step's loss, and the images of its batch over all processes."""
        self._sum += loss
        self._steps += 1
        self._timed_images += images

    def pending(self, step: int) -> Pending:
        """What is to come into the next line (collective). Raises HarnessError (kind `nan`), on every rank."""
        sums = self._engine.gather(float(self._sum))
        if not all(map(math.isfinite, sums)):
            raise not_finite("the loss", step)
        return Pending(tuple(sums), self._steps)

    def write(self, step: int, *, steps: int, lr: float) -> float:
        """Adds a line and gives the mean over steps and ranks (collective). Raises HarnessError (kind `nan`)."""
        mean = float(self._engine.mean(self._sum)) / self._steps
        if not math.isfinite(mean):
            raise not_finite("the loss", step)
        now = time.perf_counter()
        speed = self._timed_images / max(now - self._since, 1e-9)
        self._journal.write("step", step=step, steps=steps, loss=mean, lr=lr, images_per_s=round(speed, 2))
        self._sum.zero_()
        self._steps, self._timed_images, self._since = 0, 0, now
        return mean


def not_finite(what: str, step: int) -> HarnessError:
    """The error for a loss or weights that became NaN or infinite at or shortly before a step."""
    return HarnessError(
        f"{what} stopped being a finite number at or before step {step}",
        where=f"step {step}",
        hint="a lower lr, a warm-up, clip_grad, or precision fp32 in the recipe",
        kind="nan",
    )
