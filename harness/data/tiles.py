"""Positions of training tiles in an image."""

from __future__ import annotations

from harness.core.errors import DataError


def origins(length: int, tile: int, stride: int) -> list[int]:
    """First pixel of each tile along one side: every `stride` pixels, the last tile aligned to the far edge.

    With stride ≤ tile every pixel is in some tile; a larger stride leaves gaps between tiles. Raises DataError when the
    side is shorter than a tile.
    """
    if length < tile:
        raise DataError(f"a side of {length} pixels is shorter than a tile of {tile}", hint="choose a smaller patch")
    starts = list(range(0, length - tile + 1, stride))
    last = length - tile
    return starts if starts[-1] == last else [*starts, last]


def tile_origins(height: int, width: int, tile: int, stride: int) -> list[tuple[int, int]]:
    """(top, left) of every tile of an image, row by row. Raises DataError when the image is smaller than a tile."""
    return [(top, left) for top in origins(height, tile, stride) for left in origins(width, tile, stride)]
