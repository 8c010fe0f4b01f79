"""The random numbers that a network or a loss draws for each sample of a batch.

A sample's numbers follow from the cell's seed, the step and its place in the whole batch: neither the number of
processes nor that of micro-batches changes them. Training says which samples a pass sees (`drawing_for`); parts draw
(harness.parts.shared.draws).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_MASK = 2**64 - 1


@dataclass
class Draws:
    """Streams of 64-bit numbers, one a sample."""

    seeds: Sequence[int]
    """One for each sample of the pass, in the order of its batch."""
    taken: int = 0

    def next(self) -> list[int]:
        """The next number of every sample."""
        self.taken += 1
        return [_mixed(_mixed(seed & _MASK) + self.taken) for seed in self.seeds]


_now: Draws | None = None
"""Of the pass that this process computes. One for all threads: a worker runs one job at a time."""


@contextmanager
def drawing_for(seeds: Sequence[int]) -> Iterator[None]:
    """Inside, samples draw from streams that begin at these seeds."""
    global _now
    before, _now = _now, Draws(tuple(seeds))
    try:
        yield
    finally:
        _now = before


@contextmanager
def drawing_apart(number: int) -> Iterator[None]:
    """Inside, samples draw from streams of their own, which follow from the present ones' seeds and a number."""
    if _now is None:
        yield
        return
    with drawing_for([_mixed((seed ^ number) & _MASK) for seed in _now.seeds]):
        yield


def draws_of(samples: int) -> Draws | None:
    """The streams of a pass over so many samples; None outside of a training's pass, or for another number."""
    return _now if _now is not None and len(_now.seeds) == samples else None


def _mixed(number: int) -> int:
    """SplitMix64's finaliser after its increment (Steele, Lea, Flood 2014): neighbours become unrelated numbers."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
