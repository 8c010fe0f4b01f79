"""Waits for what a process that a test has started does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    holds: Callable[[], object], what: str, patience: float = 60.0, *, said: Callable[[], str] = str, every: float = 0.1
) -> None:
    """Until something holds. Raises TimeoutError after `patience` seconds: what was waited for, and what was `said`."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}\n{said()}".strip())
        time.sleep(every)
