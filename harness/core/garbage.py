"""What holds memory in Python: the frames of errors, and searches for garbage where millions of values are made that
all stay.

Every search walks over what is there, so that reading ten thousand cells spends a third of its time looking for garbage
that there is none of.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (50_000, 50, 100)


def empty_frames(error: BaseException) -> None:
    """Empties the ended frames of an error, and of those that it came from: they hold what was computed in them."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            waiting += one.__cause__, one.__context__


def spare_modules() -> None:
    """Takes what is in memory now out of all later searches for garbage: modules, for the most part, which take most of
    a second to walk over, and Accelerate asks for two searches in every training. For a process before its first job;
    later calls do nothing, since a network that an ended job left in a circle must be found, with the memory of its
    GPU.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Garbage is looked for less often in the block, or in the function that this decorates."""
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
