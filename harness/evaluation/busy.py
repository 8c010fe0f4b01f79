"""How much of an evaluation's time its GPU had work: a counter for benchmarks, which costs nothing when nobody asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class Use:
    """What `measured` found. Before its block ends, nothing."""

    seconds: float = 0.0
    """Wall time of the block."""
    busy_seconds: float | None = None
    """Time from the first to the last operation of every piece of work on the GPU, added up; None where there was none,
    as on a CPU. Gaps between the operations of one piece count as work: a network that waits for its launches looks
    busy here."""
    _marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = field(default_factory=list)

    @property
    def idle_share(self) -> float | None:
        """The share of the wall time in which the GPU had no work, 0 to 1; None without a GPU."""
        if self.busy_seconds is None or not self.seconds:
            return None
        return min(1.0, max(0.0, 1.0 - self.busy_seconds / self.seconds))


_asking: list[Use] = []
"""Who measures now."""


@contextmanager
def measured() -> Iterator[Use]:
    """A block whose work on the GPU is added up: restorations, and the networks of metrics. Waits for it at the end."""
    use, began = Use(), time.perf_counter()
    _asking.append(use)
    try:
        yield use
    finally:
        _asking.remove(use)
        if use._marks:
            torch.cuda.synchronize(use._marks[-1][1].device)
            use.busy_seconds = sum(first.elapsed_time(last) for first, last in use._marks) / 1000
        use.seconds = time.perf_counter() - began


@contextmanager
def at_work(device: torch.device) -> Iterator[None]:
    """A block that puts one piece of work on the device's current stream. In the main thread, one after the other."""
    if not _asking or device.type != "cuda":
        yield
        return
    stream = torch.cuda.current_stream(device)
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record(stream)
    try:
        yield
    finally:
        last.record(stream)
        for use in _asking:
            use._marks.append((first, last))
