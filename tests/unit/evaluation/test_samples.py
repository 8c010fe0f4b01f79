"""Strips: order, size, separators, display range."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from harness.evaluation.samples import strip, strip_name, write_strip

PHOTOS = PartRef(name="photos", digest="d")


def flat(value: float) -> np.ndarray:
    return np.full((5, 4, 3), value, np.float32)


def test_pictures_stand_side_by_side_with_white_lines() -> None:
    picture = strip((flat(-3.0), flat(0.5), flat(2.0)))
    assert (picture.shape, picture.dtype) == ((5, 4 * 3 + 2 * 2, 3), np.uint8)
    np.testing.assert_array_equal(picture[0, :, 0], [0] * 4 + [255] * 2 + [128] * 4 + [255] * 2 + [255] * 4)


def test_gray_is_shown_gray_and_two_views_as_the_left_one() -> None:
    two = np.concatenate([flat(0.2), flat(0.8)], axis=2)
    picture = strip((two, flat(1.0)[..., :1], flat(0.2)))
    np.testing.assert_array_equal(picture[0], [[51] * 3] * 4 + [[255] * 3] * (2 + 4 + 2) + [[51] * 3] * 4)


def test_png_holds_the_strip_in_rgb(tmp_path) -> None:
    red = np.zeros((5, 4, 3), np.float32)
    red[..., 0] = 1
    write_strip(tmp_path / "samples" / "photos.a=2Fb.png", (red, red))
    loaded = cv2.imread(str(tmp_path / "samples" / "photos.a=2Fb.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(loaded, strip((red, red)))
    assert loaded[0, 0].tolist() == [255, 0, 0]


def test_a_strip_that_cannot_be_encoded_says_so(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object) -> None:
        raise cv2.error("too large")

    for instead in (fails, lambda *given: (False, None)):
        monkeypatch.setattr("cv2.imencode", instead)
        with pytest.raises(HarnessError, match="no PNG can be made"):
            write_strip(tmp_path / "a.png", (flat(0.1), flat(0.2)))


def test_names_of_strips() -> None:
    assert strip_name("photos", PHOTOS, "named", "chelsea") == "photos.chelsea.png"
    assert strip_name("photos", PHOTOS, "seed0", "a/b") == "photos.seed0.a=2Fb.png"
    assert strip_name("photos sigma=15", PHOTOS, "named", "chelsea") == "photos sigma=15.chelsea.png"
    long = strip_name("photos", PHOTOS, "named", "夜" * 100)
    assert long.startswith("photos.夜夜夜")
    assert long.endswith(".png")


def test_sets_of_one_name_that_share_keys_have_files_of_their_own() -> None:
    """Two folders: their places are no part of their identity, their images and other options are."""
    folders = [PartRef(name="folder", digest=name, files={"gt": f"/{name}"}) for name in ("a", "b")]
    folders.append(PartRef(name="folder", digest="a", options={"holdout": 2}, files={"gt": "/a"}))
    names = [strip_name("folder sigma=15", each, "named", "1") for each in folders]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"folder sigma=15 [0-9a-f]{8}\.1\.png", name) for name in names)
    moved = folders[0].model_copy(update={"files": {"gt": "/elsewhere"}})
    assert strip_name("folder sigma=15", moved, "named", "1") == names[0]


@given(st.lists(st.text(min_size=1, max_size=300), min_size=2, unique=True))
def test_no_two_keys_share_a_file_whatever_the_file_system(keys: list[str]) -> None:
    """Short enough with the 15 bytes of a temporary name, and told apart without regard to capitals."""
    names = [strip_name("photos", PHOTOS, "named", key) for key in keys]
    assert all(len(name.encode()) + 15 <= 255 and "/" not in name for name in names)
    assert len({name.lower() for name in names}) == len(names)
