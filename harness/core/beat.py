"""Signs of life: a count that every step, batch, image and checkpoint of a job adds to.

Whoever watches a worker from outside takes it for frozen when the count stands still too long. Kept without a lock:
counts that two threads add at once may become one, and it still moves.
"""

from __future__ import annotations

_count = 0


def beat() -> None:
    """Says that the job of this process goes on. Costs nothing worth counting."""
    global _count
    _count += 1


def beats() -> int:
    """How often this process said so; only ever grows."""
    return _count
