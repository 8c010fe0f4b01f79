"""In which parts the images of large test sets are scored, side by side on the machines that are free.

How many there are follows from the number of images alone, which planning knows from the keys of a split: neither the
machines nor what is prepared changes the jobs of a suite.
"""

from __future__ import annotations

from collections.abc import Sequence

UNDIVIDED = 128
"""Images that a cell's evaluation scores itself, if there are no more in all of its test sets."""
SMALL = 64
"""Images that it scores itself in any case: those of its smallest test sets, as far as they go."""
WORTH = 32
"""Images of a test set that has a job of its own, at least: fewer are scored sooner than a job has begun, and a suite
of many conditions would have more jobs than work."""
PART_IMAGES = 128
"""Images of one part, at most."""
MOST_PARTS = 32
"""Parts of one test set, at most."""


def score_parts(images: Sequence[int]) -> tuple[int, ...]:
    """How many jobs score each of a cell's test sets, by the sets' numbers of images; 0: the evaluation does it.

    So the test sets of one cell are shared by the machines that are free: those that are worth it have a job each, or
    several, and the evaluation, which comes after them, has the others. A number of 0 is of a set that does not say how
    many it has.
    """
    parts = [0] * len(images)
    if sum(images) <= UNDIVIDED:
        return tuple(parts)
    kept = 0
    for place in sorted(range(len(images)), key=images.__getitem__):
        kept += images[place]
        if kept > SMALL and images[place] >= WORTH:
            parts[place] = min(-(-images[place] // PART_IMAGES), MOST_PARTS)
    return tuple(parts)


def images_in(part: int, parts: int, first: int, images: int) -> range:
    """The places of the images of one part, 1 to `parts`: equal shares, up to one more or less, of `first` and all that
    follow."""
    left = max(0, images - first)
    return range(first + left * (part - 1) // parts, first + left * part // parts)
