"""Which places of images are samples, and what is cut from them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api.reference import ORIENTATIONS
from harness.api.sets import Grid
from harness.cells.patches import Regions
from harness.core.errors import DataError, HarnessError
from harness.data.draw import Cut, SampleList, check_frames, draw_cut, reflected, resized, sample_list
from harness.data.orientation import orient, oriented_window, turns


def index_of(*sides: tuple[int, int]) -> Any:
    """What a list of samples reads of an index."""
    heights, widths = (np.array(lengths) for lengths in zip(*sides, strict=True))

    class Fake(SimpleNamespace):
        def __len__(self) -> int:
            return len(sides)

    return Fake(heights=heights, widths=widths, keys=[f"i{number}" for number in range(len(sides))])


def regions_of(samples: SampleList) -> list[tuple[int, ...]]:
    return [(samples.row(place), *samples.region(place)) for place in range(len(samples))]


def basicsr(length: int, crop: int, step: int) -> list[int]:
    """The origins along a side, as the authors' script counts them (thresh_size 0)."""
    space: list[int] = np.arange(0, length - crop + 1, step).tolist()
    return [*space, length - crop] if length - (space[-1] + crop) > 0 else space


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=4),
    st.integers(1, 40),
    st.integers(1, 50),
    st.one_of(st.none(), st.integers(1, 90)),
)
def test_regions_are_the_sub_images_of_the_authors(
    sides: list[tuple[int, int]], side: int, stride: int, above: int | None
) -> None:
    found = regions_of(sample_list(index_of(*sides), crop=None, regions=Regions(side=side, stride=stride, above=above)))
    expected = []
    for row, (height, width) in enumerate(sides):
        if min(height, width) < side or (above is not None and min(height, width) <= above):
            expected.append((row, 0, 0, height, width))
            continue
        for top in basicsr(height, side, stride):
            expected += [(row, top, left, side, side) for left in basicsr(width, side, stride)]
    assert found == expected


def test_regions_and_crops_of_a_grid_have_keys_of_their_own() -> None:
    index = index_of((100, 164), (64, 64), (30, 40))
    listed = sample_list(index, crop=(16, 16), regions=Regions(side=64, stride=64))
    keys = [listed.key(place) for place in range(len(listed))]
    assert keys[:4] == ["i0-y00000-x00000", "i0-y00000-x00064", "i0-y00000-x00100", "i0-y00036-x00000"]
    assert keys[6:] == ["i1", "i2"]
    assert listed.of_rows.tolist() == [0, 6, 7, 8]
    grid = sample_list(index_of((64, 64), (64, 70)), crop=None, grid=Grid(height=64, width=64, stride=32))
    assert [grid.key(place) for place in range(len(grid))] == [
        "i0-y00000-x00000",
        "i1-y00000-x00000",
        "i1-y00000-x00006",
    ]
    assert grid.crop == (64, 64)


def test_rows_that_are_left_out_have_no_samples_and_are_not_too_small() -> None:
    mask = np.array([True, False, True])
    listed = sample_list(index_of((64, 64), (8, 8), (64, 96)), crop=(32, 32), rows=mask)
    assert regions_of(listed) == [(0, 0, 0, 64, 64), (2, 0, 0, 64, 96)]
    assert listed.of_rows.tolist() == [0, 1, 1, 2]


def test_images_smaller_than_the_crop_are_named_with_counts_and_both_ways_out() -> None:
    sides = [(64, 64), *[(20 + number, 100) for number in range(6)]]
    with pytest.raises(DataError) as told:
        sample_list(index_of(*sides), crop=(32, 48))
    assert "6 of 7 images are smaller than the 32×48 pixels" in told.value.what
    assert "i1 (20×100), i2 (21×100), i3 (22×100), i4 (23×100), …" in told.value.what
    assert "pad: reflect" in told.value.hint
    assert "smaller recipe.patch" in told.value.hint
    assert len(sample_list(index_of(*sides), crop=(32, 48), pad="reflect")) == 7
    assert len(sample_list(index_of(*sides), crop=(32, 48), resize=(32, 48))) == 7


def test_regions_smaller_than_the_crop_are_told_from_images() -> None:
    with pytest.raises(DataError, match="1 of 2 images have regions smaller than the 48×48 pixels") as told:
        sample_list(index_of((100, 100), (60, 70)), crop=(48, 48), regions=Regions(side=32, stride=32, above=60))
    assert "larger regions.side" in told.value.hint


def test_a_grid_of_regions_is_refused() -> None:
    with pytest.raises(HarnessError, match="samples already"):
        sample_list(
            index_of((64, 64)),
            crop=None,
            regions=Regions(side=32, stride=32),
            grid=Grid(height=16, width=16, stride=16),
        )


def test_a_crop_lies_where_the_uniform_numbers_say() -> None:
    row, column, turn = np.random.default_rng(5).random(3)
    cut = draw_cut((10, 20, 50, 70), (16, 16), ORIENTATIONS["dihedral"], np.random.default_rng(5))
    assert cut == Cut((10 + int(row * 35), 20 + int(column * 55), 16, 16), (16, 16), int(turn * 8), int(turn * 8))


def test_places_of_a_crop_are_uniform_and_reach_every_edge() -> None:
    random = np.random.default_rng(0)
    tops = [draw_cut((0, 0, 20, 16), (16, 16), (0,), random).window[0] for _ in range(5000)]
    assert np.bincount(tops, minlength=6).tolist()[5:] == [0]
    assert (np.abs(np.bincount(tops) - 1000) < 120).all()


@pytest.mark.parametrize("region", [(0, 0, 60, 60), (0, 0, 24, 40), (0, 0, 24, 90)])
def test_oriented_crops_have_one_size(region: tuple[int, int, int, int]) -> None:
    image = np.zeros((*region[2:], 3), np.uint8)
    seen = set()
    for number in range(200):
        cut = draw_cut(region, (24, 40), ORIENTATIONS["dihedral"], np.random.default_rng(number))
        top, left, height, width = cut.window
        assert orient(image[top : top + height, left : left + width], cut.orientation).shape == (24, 40, 3)
        assert ORIENTATIONS["dihedral"][cut.place] == cut.orientation
        seen.add(cut.orientation)
    assert seen == (set(range(8)) if region[2] == 60 else {0, 1, 4, 5}), "only where the region holds 40×24"


def test_reflection_is_numpys_however_small_the_image() -> None:
    image = np.arange(2 * 3).reshape(2, 3, 1)
    assert reflected(image, (5, 7))[..., 0].tolist() == [
        [0, 1, 2, 1, 0, 1, 2],
        [3, 4, 5, 4, 3, 4, 5],
        [0, 1, 2, 1, 0, 1, 2],
        [3, 4, 5, 4, 3, 4, 5],
        [0, 1, 2, 1, 0, 1, 2],
    ]
    assert reflected(image, (2, 3)) is image
    assert reflected(image[:1, :1], (3, 3))[..., 0].tolist() == [[0] * 3] * 3


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (3, "uint16"), (6, "uint8"), (3, "float32")])
def test_resizing_keeps_channels_and_type_and_halves_by_means(channels: int, dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 200, (8, 6, channels)).astype(dtype)
    half = resized(image, (4, 3))
    assert half.shape == (4, 3, channels)
    assert half.dtype == image.dtype
    means = image.reshape(4, 2, 3, 2, channels).astype(np.float64).mean((1, 3))
    assert np.abs(half - means).max() <= 0.5, "bilinear at half the size is the mean of four pixels"
    assert resized(image, (8, 6)) is image


def test_frames_of_several_sizes_make_no_batch() -> None:
    listed = sample_list(index_of((64, 96), (64, 96), (48, 96)), crop=None)
    with pytest.raises(DataError, match="2 sizes cannot make batches of 2: 2 of 64×96, 1 of 48×96"):
        check_frames(listed, (0,), 2, "here")
    check_frames(listed, (0, 2), 1, "here")
    same = sample_list(index_of((64, 96), (64, 96)), crop=None)
    check_frames(same, ORIENTATIONS["flips"], 2, "here")
    with pytest.raises(DataError, match="a quarter turn makes 96×64 of whole images of 64×96"):
        check_frames(same, ORIENTATIONS["dihedral"], 2, "here")


@given(st.data(), st.integers(0, 7))
def test_a_window_of_the_oriented_image_is_the_oriented_window(data: st.DataObject, orientation: int) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    high, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    image = np.arange(height * width).reshape(height, width, 1)
    there = oriented_window((top, left, high, wide), (height, width), orientation)
    whole = orient(image, orientation)
    found = whole[there[0] : there[0] + there[2], there[1] : there[1] + there[3]]
    assert np.array_equal(found, orient(image[top : top + high, left : left + wide], orientation))
    assert (whole.shape[0] == width and whole.shape[1] == height) or not turns(orientation)


def test_a_hundred_thousand_images_of_as_many_sizes_are_listed_at_once() -> None:
    random = np.random.default_rng(0)
    sides = random.integers(400, 3000, (100_000, 2))
    index = SimpleNamespace(heights=sides[:, 0], widths=sides[:, 1], keys=["k"] * len(sides))
    index = type("Many", (SimpleNamespace,), {"__len__": lambda self: len(sides)})(**vars(index))
    listed = sample_list(index, crop=(256, 256), regions=Regions(side=400, stride=200))
    counts = np.diff(listed.of_rows)
    down, across = (np.ceil((sides - 400) / 200) + 1).T
    assert np.array_equal(counts, down * across)
    last = listed.of_rows[1:] - 1
    assert np.array_equal(listed.regions[last, :2] + 400, sides), "the last region ends where the image ends"
