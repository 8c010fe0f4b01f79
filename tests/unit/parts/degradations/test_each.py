"""The physics of each degradation, measured."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from harness.parts.datasets.photos import Photos
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


def test_the_fields_noise_is_that_of_its_scripts_bit_by_bit() -> None:
    """Restormer and KAIR: `np.random.seed(0)` before every image, then a double-precision normal added to float32."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = pixels.astype(np.float32) / 255.0
    before = np.random.get_state()
    np.random.seed(0)
    expected += np.random.normal(0, 50 / 255.0, expected.shape)
    np.random.set_state(before)
    found = GaussianNoise(sigma=50.0).with_legacy(pixels.astype(np.float32) / np.float32(255), np.random.RandomState(0))
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert found.min() < 0


@pytest.mark.parametrize("quantise", ["floor", "round"])
def test_quantised_noise_is_clipped_and_has_256_levels(quantise: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    clean = pixels.astype(np.float32) / np.float32(255)
    noise = np.random.RandomState(0).normal(0, 1, pixels.shape)
    noisy = np.clip(pixels + noise * 25, 0, 255)
    expected = noisy.astype(np.uint8) if quantise == "floor" else np.uint8(noisy.round())
    model = GaussianNoise(sigma=25.0, quantise=quantise)  # type: ignore[arg-type]
    found = model.with_legacy(clean, np.random.RandomState(0))
    np.testing.assert_array_equal(found, expected.astype(np.float32) / np.float32(255))
    levels = model(clean, np.random.default_rng(0)) * 255
    assert (levels.min(), levels.max()) == (0, 255)
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


@pytest.mark.parametrize("quantise", ["none", "floor", "round"])
def test_no_noise_leaves_every_level_as_it_was(quantise: str) -> None:
    clean = np.arange(256).repeat(3).reshape(1, 256, 3).astype(np.float32) / np.float32(255)
    model = GaussianNoise(sigma=0.0, quantise=quantise)  # type: ignore[arg-type]
    np.testing.assert_array_equal(model(clean, np.random.default_rng(0)), clean)


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


def test_low_light_spans_the_brightness_of_dark_photographs() -> None:
    """Means over the photographs, of 8-bit sRGB: 0.05 to 0.2 is what LOL's dark pictures have."""
    photos = [image.pixels.astype(np.float32) / 255 for split in ("train", "test") for image in Photos().images(split)]
    defaults = inspect.signature(LowLight).parameters
    means = {}
    for end in ("exposure_min", "exposure_max"):
        model = LowLight(exposure_min=defaults[end].default, exposure_max=defaults[end].default)
        means[end] = [float(model(photo[::2, ::2], np.random.default_rng(0)).mean()) for photo in photos]
    assert np.median(means["exposure_min"]) == pytest.approx(0.05, abs=0.005)
    assert np.median(means["exposure_max"]) == pytest.approx(0.2, abs=0.01)
    assert min(means["exposure_min"]) == pytest.approx(0.02, abs=0.005)
    assert max(means["exposure_max"]) == pytest.approx(0.28, abs=0.01)


def test_rain_only_brightens_and_covers_a_small_part(coffee: np.ndarray) -> None:
    added = Rain(veil=0.0)(coffee, np.random.default_rng(0)) - coffee
    assert added.min() >= -1e-6
    streaks = (added.max(axis=2) > 0.1).mean()
    assert 0.02 < streaks < 0.3
    np.testing.assert_allclose(Rain(veil=0.0, brightness=0.0)(coffee, np.random.default_rng(0)), coffee, atol=1e-6)
    assert np.abs(Rain(veil=0.0, density=0.0)(coffee, np.random.default_rng(0)) - coffee).max() < 1e-6


def test_a_veil_draws_every_colour_towards_the_airlight(coffee: np.ndarray) -> None:
    """I becomes (1 − v)·I + v·A: the same v in all three channels, at most `veil`, and A gray."""
    shares = []
    for seed in range(40):
        veiled = Rain(veil=0.4, density=0.0)(coffee[::4, ::4], np.random.default_rng(seed)).astype(np.float64)
        airlight = np.quantile(coffee[::4, ::4].max(axis=2), 0.95)
        room = airlight - coffee[::4, ::4]
        share = (veiled - coffee[::4, ::4]) / np.where(np.abs(room) < 0.1, np.nan, room)
        assert np.nanmax(share, axis=2) == pytest.approx(np.nanmin(share, axis=2), abs=1e-4, nan_ok=True)
        shares.append((np.nanmin(share), np.nanmax(share)))
        assert np.nanmin(share) >= 0.49 * np.nanmax(share), "from half to all of the image's own"
        assert np.abs(np.diff(share[..., 0], axis=0))[np.isfinite(np.diff(share[..., 0], axis=0))].max() < 0.02
    assert min(low for low, _ in shares) < 0.03
    assert 0.3 < max(high for _, high in shares) <= 0.4 + 1e-6


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_streaks_differ_in_angle_by_their_spread(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    angles: list[float] = []

    def noted(length: float, angle: float, width: float) -> np.ndarray:
        angles.append(angle)
        return line(length, angle, width)

    monkeypatch.setattr("harness.parts.degradations.rain.line", noted)
    model = Rain(spread=spread, max_angle=30.0, layers=1, length=8)
    drawn = []
    for seed in range(150):
        angles.clear()
        model(np.zeros((16, 16, 3), np.float32), np.random.default_rng(seed))
        drawn.append([math.degrees(angle) for angle in angles])
    within = np.array(drawn).std(axis=1, ddof=1)
    assert math.sqrt((within**2).mean()) == pytest.approx(spread, rel=0.1, abs=1e-9)
    assert 15 < np.array(drawn).mean(axis=1).std() < 20, "one angle per image, uniform over ±30 degrees"


def test_rain_falls_along_its_angle() -> None:
    black = np.zeros((200, 200, 3), np.float32)
    upright = Rain(max_angle=0.0, layers=1, spread=1.0)(black, np.random.default_rng(0))[..., 0]
    down, across = np.abs(np.diff(upright, axis=0)).mean(), np.abs(np.diff(upright, axis=1)).mean()
    assert across > 5 * down


def test_a_streak_has_its_length_and_width() -> None:
    streak = line(30.0, 0.0, 1.0)
    middle = len(streak) // 2
    assert streak.max() == 1.0
    assert (streak[:, middle] > 0.5).sum() == pytest.approx(32, abs=1.5)
    assert (streak[middle] > 0.5).sum() == 3
    np.testing.assert_allclose(line(30.0, math.pi / 2, 1.0), streak.T, atol=1e-6)


@pytest.mark.parametrize("size", [3, 20, 21, 51, 100])
@pytest.mark.parametrize("shake", [0.0, 0.4, 1.0])
def test_the_point_spread_function_moves_light_and_makes_none(size: int, shake: float) -> None:
    for number in range(20):
        kernel = shake_kernel(size, shake, np.random.default_rng(number))
        side = size + (size % 2 == 0)
        assert kernel.shape == (side, side)
        assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
        assert kernel.min() >= 0
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        assert abs((kernel * x).sum()) < 0.01, "centred: the image does not shift"
        assert abs((kernel * y).sum()) < 0.01
        reach = max(np.abs(x[kernel > 0]).max(), np.abs(y[kernel > 0]).max())
        assert (size - 1) / 4 <= reach <= size / 2


def test_motion_blur_keeps_flat_areas_and_the_light(coffee: np.ndarray, gray: np.ndarray) -> None:
    still = MotionBlur(full_well=1e6, read_noise=0.0)(gray, np.random.default_rng(0))
    np.testing.assert_allclose(still, gray, atol=0.01)
    assert still.mean() == pytest.approx(0.5, abs=1e-4)
    blurred = MotionBlur()(coffee, np.random.default_rng(0))
    assert srgb_to_linear(blurred).mean() == pytest.approx(srgb_to_linear(coffee).mean(), rel=0.01)
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.7 * np.abs(np.diff(coffee, axis=1)).mean()


def test_noise_comes_after_the_blur(gray: np.ndarray) -> None:
    """White noise of shot and read electrons, not smoothed by the kernel."""
    blurred = MotionBlur(full_well=5000.0, read_noise=10.0)(gray, np.random.default_rng(0)).astype(np.float64)
    electrons = srgb_to_linear(blurred) * 5000
    expected = 5000 * float(srgb_to_linear(np.array(0.5)))
    assert electrons.std() == pytest.approx(math.sqrt(expected + 100), rel=0.01)
    noise = electrons[..., 0] - electrons[..., 0].mean()
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 0.01 * noise.var()
    usual = MotionBlur()(gray, np.random.default_rng(0)) - gray
    assert -20 * math.log10(float(usual.std())) == pytest.approx(46, abs=0.3), "in a mid-gray by default"
