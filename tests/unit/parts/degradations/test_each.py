"""The physics of each degradation, measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.parts.degradations.gaussian_noise import GaussianNoise
from harness.parts.degradations.light import srgb_to_linear
from harness.parts.degradations.low_light import LowLight
from harness.parts.degradations.motion_blur import MotionBlur, shake_kernel
from harness.parts.degradations.rain import Rain, line


@pytest.mark.parametrize("sigma", [0.0, 15.0, 50.0])
def test_gaussian_noise_has_its_sigma_and_is_not_clipped(sigma: float, gray: np.ndarray) -> None:
    noise = (GaussianNoise(sigma=sigma)(gray, np.random.default_rng(0)) - gray) * 255
    assert noise.std() == pytest.approx(sigma, rel=0.01)
    assert abs(noise.mean()) < 0.02 * max(sigma, 1)
    white = GaussianNoise(sigma=50.0)(np.ones_like(gray), np.random.default_rng(0))
    assert white.max() > 1.5
    assert not GaussianNoise.traits.quantised


def test_noise_levels_share_their_pattern(gray: np.ndarray) -> None:
    weak = GaussianNoise(sigma=10.0)(gray, np.random.default_rng(3)) - gray
    strong = GaussianNoise(sigma=40.0)(gray, np.random.default_rng(3)) - gray
    np.testing.assert_allclose(strong, 4 * weak, atol=1e-6)


@pytest.mark.parametrize("exposure", [0.05, 0.2, 1.0])
def test_low_light_keeps_that_fraction_of_the_light(exposure: float, gray: np.ndarray) -> None:
    model = LowLight(exposure_min=exposure, exposure_max=exposure, full_well=1e5, read_noise=0.0)
    dark = srgb_to_linear(model(gray, np.random.default_rng(0)).astype(np.float64))
    assert dark.mean() / srgb_to_linear(np.array(0.5)) == pytest.approx(exposure, rel=0.01)


def test_low_light_noise_is_shot_plus_read(gray: np.ndarray) -> None:
    model = LowLight(exposure_min=0.2, exposure_max=0.2, full_well=2000.0, read_noise=5.0)
    electrons = srgb_to_linear(model(gray, np.random.default_rng(0)).astype(np.float64)) * 2000
    expected = 0.2 * 2000 * float(srgb_to_linear(np.array(0.5)))
    assert electrons.mean() == pytest.approx(expected, rel=0.01)
    assert electrons.std() == pytest.approx(math.sqrt(expected + 25), rel=0.02)


def test_low_light_draws_exposures_from_the_whole_range(gray: np.ndarray) -> None:
    model = LowLight(exposure_min=0.1, exposure_max=0.4, full_well=1e6, read_noise=0.0)
    small = gray[:16, :16]
    light = [srgb_to_linear(model(small, np.random.default_rng(n)).astype(np.float64)).mean() for n in range(200)]
    exposures = np.array(light) / float(srgb_to_linear(np.array(0.5)))
    assert 0.099 < exposures.min() < 0.11
    assert 0.38 < exposures.max() < 0.401
    assert np.median(exposures) == pytest.approx(0.2, rel=0.15), "log-uniform"


def test_rain_only_brightens_and_covers_a_small_part(coffee: np.ndarray) -> None:
    added = Rain()(coffee, np.random.default_rng(0)) - coffee
    assert added.min() >= -1e-6
    streaks = (added.max(axis=2) > 0.1).mean()
    assert 0.02 < streaks < 0.3
    np.testing.assert_allclose(Rain(brightness=0.0)(coffee, np.random.default_rng(0)), coffee, atol=1e-6)
    assert np.abs(Rain(density=0.0)(coffee, np.random.default_rng(0)) - coffee).max() < 1e-6


def test_rain_falls_along_its_angle() -> None:
    black = np.zeros((200, 200, 3), np.float32)
    upright = Rain(max_angle=0.0, layers=1)(black, np.random.default_rng(0))[..., 0]
    down, across = np.abs(np.diff(upright, axis=0)).mean(), np.abs(np.diff(upright, axis=1)).mean()
    assert across > 5 * down


def test_a_streak_has_its_length_and_width() -> None:
    streak = line(30.0, 0.0, 1.0)
    middle = len(streak) // 2
    assert streak.max() == 1.0
    assert (streak[:, middle] > 0.5).sum() == pytest.approx(32, abs=1.5)
    assert (streak[middle] > 0.5).sum() == 3
    np.testing.assert_allclose(line(30.0, math.pi / 2, 1.0), streak.T, atol=1e-6)


@pytest.mark.parametrize("size", [3, 21, 51])
@pytest.mark.parametrize("shake", [0.0, 0.4, 1.0])
def test_the_point_spread_function_moves_light_and_makes_none(size: int, shake: float) -> None:
    for number in range(20):
        kernel = shake_kernel(size, shake, np.random.default_rng(number))
        assert kernel.shape == (size, size)
        assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
        assert kernel.min() >= 0
        y, x = np.mgrid[:size, :size] - (size - 1) / 2
        assert abs((kernel * x).sum()) < 0.01, "centred: the image does not shift"
        assert abs((kernel * y).sum()) < 0.01
        reach = max(np.abs(x[kernel > 0]).max(), np.abs(y[kernel > 0]).max())
        assert reach >= (size - 1) / 4


def test_motion_blur_keeps_flat_areas_and_the_light(coffee: np.ndarray, gray: np.ndarray) -> None:
    np.testing.assert_allclose(MotionBlur()(gray, np.random.default_rng(0)), gray, atol=1e-5)
    blurred = MotionBlur()(coffee, np.random.default_rng(0))
    assert srgb_to_linear(blurred).mean() == pytest.approx(srgb_to_linear(coffee).mean(), rel=0.01)
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.7 * np.abs(np.diff(coffee, axis=1)).mean()
