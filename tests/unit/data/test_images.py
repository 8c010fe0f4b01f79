"""What a data set gives is checked where it enters, in words that name the image and say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.data.audit import audit
from harness.data.images import images_of

GOOD = np.zeros((5, 4, 3), np.uint8)


class Given:
    """A test split of the images that it is given."""

    traits = DatasetTraits()

    def __init__(self, images: Sequence[Any], keys: Sequence[str] | None = None) -> None:
        self.given = images
        self.listed = keys if keys is not None else [image.key for image in images]

    def splits(self) -> Sequence[str]:
        return ("test",)

    def fingerprint(self) -> str:
        return "given"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(key, key) for key in self.listed]

    def images(self, split: str) -> Any:
        return iter(self.given)


def refused(images: Sequence[Any], keys: Sequence[str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        list(images_of(Given(images, keys), "test", "mine"))
    assert caught.value.kind == "data"
    assert caught.value.where.startswith("data set mine, split test")
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "words", "hint"),
    [
        (None, "there are no pixels (None)", "cannot be read"),
        (np.ma.masked_equal(GOOD, 0), "a MaskedArray, not a NumPy array", "pixels.filled(0)"),
        (np.zeros((5, 4), np.uint8), "no axis of channels (5×4 uint8)", "pixels[:, :, numpy.newaxis]"),
        (np.zeros((5, 4, 4), np.uint8), "fourth channel (5×4×4 uint8)", "[:, :, :3]"),
        (np.zeros((5, 4, 2), np.uint8), "another shape (5×4×2 uint8)", "one colour or gray picture"),
        (np.zeros((5, 4, 6), np.uint8), "another shape (5×4×6 uint8)", "one colour or gray picture"),
        (np.zeros((5, 4, 3), np.float64), "another number format (5×4×3 float64)", "astype(numpy.float32)"),
        (np.zeros((5, 4, 3), np.float16), "another number format (5×4×3 float16)", "white at 1"),
        (np.zeros((5, 4, 3), ">u2"), "another number format (5×4×3 >u2)", "byte order"),
        (np.zeros((5, 4, 3), np.int32), "another number format (5×4×3 int32)", "8 or 16 bits"),
        (np.zeros((5, 4, 3), bool), "another number format (5×4×3 bool)", "8 or 16 bits"),
        (np.full((5, 4, 3), np.nan, np.float32), "not finite (5×4×3 float32)", "repair"),
        (np.full((5, 4, 3), 255, np.float32), "from 255 to 255 (5×4×3 float32), and white is 1", "divide by 255"),
        (np.full((5, 4, 3), -0.5, np.float32), "from -0.5 to -0.5 (5×4×3 float32), and white is 1", "(pixels + 1) / 2"),
        (np.full((5, 4, 3), 5, np.float32), "from 5 to 5 (5×4×3 float32), and white is 1", "what is white"),
        (np.zeros((0, 4, 3), np.uint8), "empty (0×4×3 uint8)", "leave it out"),
        (np.zeros((3, 5, 9), np.uint8), "channels come first (3×5×9 uint8)", "transpose"),
        (np.zeros((2, 5, 4, 3), np.uint8), "another shape (2×5×4×3 uint8)", "one colour or gray picture"),
        (np.uint8(3), "not a NumPy array", "asarray"),
        ([[1, 2, 3]], "a list, not a NumPy array", "asarray"),
        (np.full((5, 4, 3), None), "another number format (5×4×3 object)", "8 or 16 bits"),
    ],
)
def test_unfit_pixels_are_named_with_what_to_do(pixels: Any, words: str, hint: str) -> None:
    said = refused([SourceImage("good", "s", GOOD), SourceImage("odd", "s", pixels)])
    assert "image 'odd'" in said
    assert words in said
    assert hint in said.partition("try:")[2]


@pytest.mark.parametrize("key", ["", 7, None, "\udce4"])
def test_keys_are_texts(key: Any) -> None:
    assert "the key" in refused([SourceImage(key, "s", GOOD)], ["x"])
    assert "the scene" in refused([SourceImage("k", key, GOOD)])


def test_every_key_comes_once_and_is_listed() -> None:
    twice = SourceImage("k", "s", GOOD)
    assert "two images have the key 'k'" in refused([twice, twice])
    assert "gives 'k', which keys() does not list" in refused([twice], ["other"])
    assert "does not give 'more', which keys() lists" in refused([twice], ["k", "more"])


def test_what_is_no_image_is_named() -> None:
    with pytest.raises(DataError, match="gives a tuple, not a SourceImage"):
        list(images_of(Given([("k", "s", GOOD)], ["k"]), "test", "mine"))


def test_views_become_contiguous_arrays_of_the_same_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    (image,) = images_of(Given([SourceImage("k", "s", pixels[:, ::-2, ::-1])]), "test", "mine")
    assert image.pixels.flags.c_contiguous
    np.testing.assert_array_equal(image.pixels, pixels[:, ::-2, ::-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_colour_of_three_number_formats_are_fit(dtype: Any, channels: int) -> None:
    pixels = np.ones((5, 4, channels), dtype)
    (image,) = images_of(Given([SourceImage("k", "s", pixels)]), "test", "mine")
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == dtype


class Pairs(Given):
    traits = DatasetTraits(pairs=True)


DUAL = np.zeros((5, 4, 6), np.uint16)


def test_pairs_and_halves_are_fit_where_they_are_declared() -> None:
    given = [
        SourceImage("pair", "s", GOOD, DUAL[:, ::-1]),
        SourceImage("lq", "s", None, DUAL),
        SourceImage("gt", "s", GOOD),
        SourceImage("one of two", "s", GOOD, GOOD, truth="T"),
    ]
    found = list(images_of(Pairs(given), "test", "mine"))
    assert [image.key for image in found] == ["pair", "lq", "gt", "one of two"]
    assert found[0].degraded is not None
    assert found[0].degraded.flags.c_contiguous


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (SourceImage("k", "s", GOOD, np.zeros((4, 5, 3), np.uint8)), "differ in size: 4×5 and 5×4"),
        (SourceImage("k", "s", GOOD, np.zeros((5, 4), np.uint8)), "image 'k', degraded: the image has no axis"),
        (SourceImage("k", "s", DUAL, GOOD), "another shape (5×4×6 uint16)"),
        (SourceImage("k", "s", None), "there are no pixels (None)"),
        (SourceImage("k", "s", None, GOOD, truth="T"), "'T' is named and not given"),
        (SourceImage("k", "s", GOOD, GOOD, truth=""), "the truth of an image is ''"),
        (SourceImage("k", "s", GOOD, GOOD, truth="\udce4"), "is not valid Unicode"),
    ],
)
def test_unfit_pairs_are_named(image: SourceImage, words: str) -> None:
    with pytest.raises(DataError) as caught:
        list(images_of(Pairs([image]), "test", "mine"))
    assert words in str(caught.value)
    assert caught.value.hint


def test_a_degraded_image_has_to_be_declared() -> None:
    assert "declares no pairs" in refused([SourceImage("k", "s", GOOD, GOOD)])


def test_chosen_images_come_alone_and_the_rest_is_not_checked() -> None:
    images = [SourceImage("a", "s", None), SourceImage("b", "s", GOOD), SourceImage("c", "s", None)]
    assert [image.key for image in images_of(Given(images), "test", "mine", ["b"])] == ["b"]
    with pytest.raises(DataError, match=r"images\(\) does not give 'c', which keys\(\) lists"):
        list(images_of(Given(images[:2], ["a", "b", "c"]), "test", "mine", ["b", "c"]))


def test_random_access_asks_for_the_chosen_images_alone() -> None:
    class Random(Given):
        traits = DatasetTraits(random_access=True)

        def images(self, split: str) -> Any:
            pytest.fail("all images are read")

        def images_at(self, split: str, keys: Sequence[str]) -> Any:
            return (image for image in self.given if image.key in keys)

    images = [SourceImage(key, "s", GOOD) for key in "abc"]
    assert [image.key for image in images_of(Random(images), "test", "mine", ["a", "c"])] == ["a", "c"]


def test_the_audit_says_it_in_the_same_words(tmp_path: Path) -> None:
    """OpenCV never sees such an image."""
    for pixels in (None, np.zeros((5, 4), np.uint8), np.zeros((5, 4, 3))):
        given = Given([SourceImage("odd", "s", pixels)])
        with pytest.raises(DataError, match=r"split test, image 'odd': .* H×W×3 or H×W×1 in .* is needed"):
            audit(given, "test", PartRef(name="mine", digest="d"), tmp_path)
