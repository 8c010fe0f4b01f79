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
        (np.zeros((5, 4), np.uint8), "gray (5×4 uint8)", "numpy.repeat"),
        (np.zeros((5, 4, 1), np.uint8), "gray (5×4×1 uint8)", "numpy.repeat"),
        (np.zeros((5, 4, 4), np.uint8), "fourth channel (5×4×4 uint8)", "[:, :, :3]"),
        (np.zeros((5, 4, 3), np.float32), "not 8-bit (5×4×3 float32)", "255 * pixels"),
        (np.zeros((5, 4, 3), np.uint16), "not 8-bit (5×4×3 uint16)", "/ 257"),
        (np.zeros((5, 4, 3), bool), "not 8-bit (5×4×3 bool)", "8 bits"),
        (np.zeros((0, 4, 3), np.uint8), "empty (0×4×3 uint8)", "leave it out"),
        (np.zeros((3, 5, 9), np.uint8), "channels come first (3×5×9 uint8)", "transpose"),
        (np.zeros((2, 5, 4, 3), np.uint8), "another shape (2×5×4×3 uint8)", "one colour picture"),
        (np.uint8(3), "not a NumPy array", "asarray"),
        ([[1, 2, 3]], "a list, not a NumPy array", "asarray"),
        (np.full((5, 4, 3), None), "not 8-bit (5×4×3 object)", "8 bits"),
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


def test_the_audit_says_it_in_the_same_words(tmp_path: Path) -> None:
    """OpenCV never sees such an image."""
    for pixels in (None, np.zeros((5, 4), np.uint8), np.zeros((5, 4, 3))):
        given = Given([SourceImage("odd", "s", pixels)])
        with pytest.raises(DataError, match=r"split test, image 'odd': .* H×W×3 uint8 RGB is needed"):
            audit(given, "test", PartRef(name="mine", digest="d"), tmp_path)
