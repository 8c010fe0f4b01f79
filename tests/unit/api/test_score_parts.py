"""Into how many parts the images of test sets are divided, and which images each part has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api.score_parts import images_in, score_parts


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        ((), ()),
        ((15,), (0,)),
        ((128,), (0,)),
        ((129,), (2,)),
        ((64, 64), (0, 0)),
        ((64, 65), (0, 1)),
        ((100, 100, 10), (1, 1, 0)),
        ((0, 1_000), (0, 8)),
        ((1_000_000,), (32,)),
        ((15, 100), (0, 0)),
        ((64, 64, 64), (0, 1, 1)),
        ((60, 20, 60), (1, 0, 1)),
        ((24, 12, 18, 68, 68, 100), (0, 0, 0, 1, 1, 1)),
        ((24,) * 20, (0,) * 20),
        ((32,) * 6, (0, 0, 1, 1, 1, 1)),
        ((500, 70, 33, 0, 31, 40), (4, 1, 0, 0, 0, 1)),
    ],
)
def test_small_sets_stay_with_the_evaluation(images: tuple[int, ...], parts: tuple[int, ...]) -> None:
    assert score_parts(images) == parts


@given(parts=st.integers(1, 40), first=st.integers(0, 20), images=st.integers(0, 300))
def test_every_image_is_in_one_part(parts: int, first: int, images: int) -> None:
    found = [list(images_in(part, parts, first, images)) for part in range(1, parts + 1)]
    assert [place for part in found for place in part] == list(range(first, images))
    sizes = [len(part) for part in found]
    assert max(sizes) - min(sizes) <= 1
