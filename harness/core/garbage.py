"""Python's search for garbage, where millions of values are made that all stay.

Every search walks over what is there, so that reading ten thousand cells spends a third of its time looking for garbage
that there is none of.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (50_000, 50, 100)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Garbage is looked for less often in the block, or in the function that this decorates."""
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
