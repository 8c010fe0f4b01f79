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
    LowLight: (1, [0.00954, 0.33809, 0.31138, 0.0, 0.02035, 0.2418]),
    GaussianNoise: (1, [0.03521, 0.82127, 0.61985, 0.17378, 0.02446, 0.54043]),
    Rain: (1, [0.10796, 0.72517, 0.83472, 0.18216, 0.09412, 0.56906]),
    MotionBlur: (1, [0.11781, 0.71625, 0.72915, 0.62224, 0.14268, 0.57262]),
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
