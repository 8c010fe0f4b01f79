"""The orientations of tiles."""

from __future__ import annotations

import numpy as np

from harness.api.reference import ORIENTATIONS
from harness.data.orientation import orient


def test_the_four_flips_are_numpys() -> None:
    image = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    turned = [orient(image, number) for number in ORIENTATIONS["flips"]]
    expected = [image, np.fliplr(image), np.flipud(np.fliplr(image)), np.flipud(image)]
    assert all(np.array_equal(one, other) for one, other in zip(turned, expected, strict=True))


def test_the_eight_are_all_different() -> None:
    image = np.arange(9).reshape(3, 3, 1)
    assert len({orient(image, number).tobytes() for number in ORIENTATIONS["dihedral"]}) == 8
