"""The scale of float pixels: black at 0, white at 1."""

from __future__ import annotations

LEAST, MOST = -0.05, 4.0
"""Of a clean image: filters that sharpen or resize reach a little below black, and highlights above white."""
LARGEST = 16.0
"""Of a degraded image, to both sides, as noise reaches far: beyond, it is of another scale, such as 0 to 255."""


def off_scale(low: float, high: float, *, clean: bool) -> str:
    """What to do with pixels from `low` to `high` that are of another scale; empty where they are of this one."""
    least, most = (LEAST, MOST) if clean else (-LARGEST, LARGEST)
    if least <= low and high <= most:
        return ""
    if low >= least:
        return "divide by 255" if LARGEST < high <= 256 else "divide by what is white"
    return "(pixels + 1) / 2 where black is -1" if low >= -1.1 and high <= 1.1 else "scale them: black at 0, white at 1"
