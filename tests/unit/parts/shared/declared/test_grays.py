"""Gray pictures among colour ones: which are read as colour, and which are refused."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from harness.api.source import Files
from harness.core.errors import Unfit
from tests.unit.parts.shared.declared.conftest import Write, layout, opened

PAIRS = layout(train=Files(lq=("in/*",), gt=("gt/*",)))
CLEAN = layout(train=Files(gt=("gt/*",)))
GRAY = np.arange(48, dtype=np.uint8).reshape(6, 8)
DEEP = GRAY.astype(np.uint16)


def files(*sides: str, **changes: Any) -> dict[str, Any]:
    """Four samples; the arrays of `changes` take the place of the second one's."""
    plain = {f"{side}/{n}.png": 20 * n + 5 * len(side) for side in sides for n in range(4)}
    plain |= {f"in/{n}.png": 20 * n + 3 for n in range(4) if "in" in sides}
    return plain | {f"{side}/1.png": pixels for side, pixels in changes.items()}


def test_a_gray_picture_among_colours_is_read_as_the_fields_loaders_do(write: Write) -> None:
    root = write(files("gt", gt=GRAY))
    found = opened(root, CLEAN)
    said = "train has gray pictures among colour ones, read as colour by repeating the channel: gt/1.png"
    assert said in found.check_all()
    images = {image.key: image.pixels for image in found.images("train")}
    assert np.array_equal(images["1"], cv2.imread(str(root / "gt/1.png"))[:, :, ::-1])
    [chosen] = opened(root, CLEAN).images_at("train", ["1"])
    assert chosen.pixels is not None
    assert chosen.pixels.shape == (6, 8, 3), "also where nothing was checked before, as in another process"


def test_a_pair_of_gray_pictures_is_read_as_colour(write: Write) -> None:
    found = opened(write(files("in", "gt", gt=GRAY, **{"in": GRAY // 2})), PAIRS)
    assert [text for text in found.check_all() if "in/1.png" in text and "gt/1.png" in text]
    [image] = found.images_at("train", ["1"])
    assert image.pixels is not None
    assert image.degraded is not None
    assert image.pixels.shape == image.degraded.shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gt": GRAY}, "gt/1.png: 1 × uint8, the rest 3 × uint8"),
        ({"in": GRAY}, "in/1.png: 1 × uint8, the rest 3 × uint8"),
        ({"gt": np.full((6, 8, 3), 9, np.uint16)}, "gt/1.png: 3 × uint16, the rest 3 × uint8"),
        ({"gt": DEEP, "in": DEEP + 1}, "gt/1.png: 1 × uint16, the rest 3 × uint8"),
    ],
)
def test_what_was_converted_is_refused(write: Write, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Unfit) as caught:
        opened(write(files("in", "gt", **changes)), PAIRS).check_all()
    assert said in str(caught.value)


def test_gray_sets_stay_gray(write: Write) -> None:
    found = opened(write({f"gt/{n}.png": GRAY + n for n in range(3)}), CLEAN)
    assert not [text for text in found.check_all() if "gray" in text]
    assert {image.pixels.shape for image in found.images("train") if image.pixels is not None} == {(6, 8, 1)}


def test_a_colour_picture_among_gray_ones_is_refused(write: Write) -> None:
    with pytest.raises(Unfit, match=r"gt/9\.png: 3 × uint8, the rest 1 × uint8"):
        opened(write({f"gt/{n}.png": GRAY + n for n in range(3)} | {"gt/9.png": 5}), CLEAN).check_all()
