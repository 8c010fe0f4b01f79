"""Time and memory of pieces of work on one device."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

import torch

Work = Callable[[], object]
WARM_UPS = 4
"""Runs before anything is timed: a CUDA graph is recorded in the second or third."""
TOGETHER = 5
"""Runs that one reading of the clock covers on a GPU: a step waits for the device no more often in a training."""
FEWEST, MOST = 3, 15
"""Rounds."""


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def settled() -> None:
    """Waits until the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Work, times: int = 1) -> float:
    """Wall time of one run, the mean of `times` in a row, to the end of what they gave the device."""
    settled()
    began = time.perf_counter()
    for _ in range(times):
        work()
    settled()
    return (time.perf_counter() - began) / times


def alternated(works: Mapping[str, Work], patience: float) -> dict[str, float]:
    """Median seconds of a run of each, over rounds in which all take their turn; as many rounds as `patience` seconds
    hold, three at least. The first runs are not timed."""
    for work in works.values():
        for _ in range(WARM_UPS):
            work()
    times = TOGETHER if torch.cuda.is_available() else 1
    taken: dict[str, list[float]] = {name: [] for name in works}
    began = time.perf_counter()
    for number in range(1, MOST + 1):
        for name, work in works.items():
            taken[name].append(seconds(work, times))
        spent = time.perf_counter() - began
        if number >= FEWEST and spent * (number + 1) / number > patience:
            break
    return {name: statistics.median(each) for name, each in taken.items()}


def reserved() -> int:
    """Bytes of the GPU that PyTorch holds now, once what is free is given back."""
    gc.collect()
    settled()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


def peak_reserved(work: Work, before: int) -> int:
    """Most bytes of the GPU that PyTorch held while it ran, beyond `before`.

    Held rather than handed out: the pool of a CUDA graph is handed out once, when it is recorded.
    """
    for _ in range(WARM_UPS):
        work()
    reserved()
    torch.cuda.reset_peak_memory_stats()
    work()
    settled()
    return torch.cuda.max_memory_reserved() - before
