"""Prepared sets are named by a degradation's version: whoever changes what it gives must raise it, and pin anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.parts.degradations.gaussian_noise import GaussianNoise
from harness.parts.degradations.low_light import LowLight
from harness.parts.degradations.motion_blur import MotionBlur
from harness.parts.degradations.rain import Rain

PINNED: dict[Any, tuple[int, list[float]]] = {
    LowLight: (2, [0.0329, 0.23708, 0.23191, 0.01079, 0.00647, 0.17333]),
    GaussianNoise: (1, [0.03521, 0.82127, 0.61985, 0.17378, 0.02446, 0.54043]),
    Rain: (2, [0.18985, 0.75188, 0.74865, 0.16968, 0.22622, 0.61836]),
    MotionBlur: (2, [0.1098, 0.70969, 0.72297, 0.61241, 0.13421, 0.57268]),
}


def sampled(make: Any) -> list[float]:
    """Five values of a degraded ramp, and its mean."""
    y, x, c = np.mgrid[:64, :64, :3]
    clean = ((3 * y + 2 * x + 40 * c) % 256 / 255).astype(np.float32)
    degraded = make()(clean, np.random.default_rng(7))
    return [*degraded[[3, 20, 33, 47, 60], [9, 41, 2, 60, 30], [0, 1, 2, 0, 1]].tolist(), float(degraded.mean())]


@pytest.mark.parametrize("make", PINNED, ids=lambda make: make.__name__)
def test_a_version_always_gives_the_same(make: Any) -> None:
    version, values = PINNED[make]
    assert version == make.traits.version
    np.testing.assert_allclose(sampled(make), values, atol=2e-4)
