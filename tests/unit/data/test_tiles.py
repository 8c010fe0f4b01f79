"""Tiles cover every pixel and never leave the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.data.tiles import origins, tile_origins


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_tiles_cover_every_pixel(height: int, width: int, tile: int, stride: int) -> None:
    if min(height, width) < tile:
        with pytest.raises(DataError, match="shorter than a tile"):
            tile_origins(height, width, tile, stride)
        return
    seen = np.zeros((height, width), int)
    places = tile_origins(height, width, tile, stride)
    assert len(places) == len(set(places))
    for top, left in places:
        assert 0 <= top <= height - tile
        assert 0 <= left <= width - tile
        seen[top : top + tile, left : left + tile] += 1
    assert seen[0, 0] >= 1
    assert seen[-1, -1] >= 1
    if stride <= tile:
        assert seen.min() >= 1


def test_origins_by_hand() -> None:
    assert origins(10, 4, 4) == [0, 4, 6]
    assert origins(12, 4, 4) == [0, 4, 8]
    assert origins(10, 4, 2) == [0, 2, 4, 6]
    assert origins(4, 4, 9) == [0]
