"""Strips: order, size, separators, display range."""

from __future__ import annotations

import cv2
import numpy as np

from harness.evaluation.samples import strip, write_strip


def flat(value: float) -> np.ndarray:
    return np.full((5, 4, 3), value, np.float32)


def test_pictures_stand_side_by_side_with_white_lines() -> None:
    picture = strip((flat(-3.0), flat(0.5), flat(2.0)))
    assert (picture.shape, picture.dtype) == ((5, 4 * 3 + 2 * 2, 3), np.uint8)
    np.testing.assert_array_equal(picture[0, :, 0], [0] * 4 + [255] * 2 + [128] * 4 + [255] * 2 + [255] * 4)


def test_png_holds_the_strip_in_rgb(tmp_path) -> None:
    red = np.zeros((5, 4, 3), np.float32)
    red[..., 0] = 1
    write_strip(tmp_path / "samples" / "photos.a=2Fb.png", (red, red))
    loaded = cv2.imread(str(tmp_path / "samples" / "photos.a=2Fb.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(loaded, strip((red, red)))
    assert loaded[0, 0].tolist() == [255, 0, 0]
