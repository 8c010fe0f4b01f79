"""What every degradation promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.core.errors import HarnessError
from harness.core.pixels import LEAST, MOST
from harness.parts.degradations.gaussian_noise import GaussianNoise
from harness.parts.degradations.light import caught, linear_to_srgb, srgb_to_linear
from harness.parts.degradations.low_light import LowLight
from harness.parts.degradations.motion_blur import MotionBlur
from harness.parts.degradations.rain import Rain

ALL = [LowLight, GaussianNoise, Rain, MotionBlur]


@pytest.mark.parametrize("make", ALL)
def test_depends_on_the_generator_alone(make: Callable[[], Any], coffee: np.ndarray) -> None:
    before = coffee.copy()
    np.random.seed(1)
    one = make()(coffee, np.random.default_rng(5))
    np.random.seed(2)
    same, other = make()(coffee, np.random.default_rng(5)), make()(coffee, np.random.default_rng(6))
    assert one.dtype == np.float32
    assert one.shape == coffee.shape
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 1e-3
    np.testing.assert_array_equal(coffee, before)


@pytest.mark.parametrize("make", [LowLight, Rain, MotionBlur])
def test_quantised_results_stay_in_range(make: Callable[[], Any], coffee: np.ndarray) -> None:
    degraded = make()(coffee, np.random.default_rng(0))
    assert make.traits.quantised  # type: ignore[attr-defined]
    assert degraded.min() >= 0
    assert degraded.max() <= 1


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [(LowLight, 7.0, 16.0), (GaussianNoise, 20.0, 21.5), (Rain, 18.0, 26.0), (MotionBlur, 17.0, 28.0)],
)
def test_input_quality_is_that_of_the_field(
    make: Callable[[], Any], low: float, high: float, coffee: np.ndarray
) -> None:
    degraded = np.clip(make()(coffee, np.random.default_rng(0)), 0, 1)
    assert low < -10 * math.log10(float(np.mean((degraded - coffee) ** 2))) < high


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (LowLight, {"exposure_min": 0.0}),
        (LowLight, {"exposure_max": 1.5}),
        (LowLight, {"exposure_min": 0.5, "exposure_max": 0.1}),
        (LowLight, {"full_well": 1}),
        (LowLight, {"read_noise": -1.0}),
        (GaussianNoise, {"sigma": -1.0}),
        (GaussianNoise, {"sigma": math.nan}),
        (Rain, {"density": 0.5}),
        (Rain, {"length": 1}),
        (Rain, {"width": 0.0}),
        (Rain, {"max_angle": 90.0}),
        (Rain, {"brightness": 1.1}),
        (Rain, {"layers": 0}),
        (Rain, {"veil": 1.0}),
        (Rain, {"spread": -1.0}),
        (MotionBlur, {"size": 1}),
        (MotionBlur, {"size": 102}),
        (MotionBlur, {"full_well": 1}),
        (MotionBlur, {"read_noise": -1.0}),
        (MotionBlur, {"shake": 2.0}),
        (MotionBlur, {"size": 4.5}),
        (MotionBlur, {"size": True}),
        (MotionBlur, {"size": "21"}),
        (Rain, {"layers": 2.0}),
        (GaussianNoise, {"sigma": "25"}),
        (GaussianNoise, {"sigma": (50.0, 0.0)}),
        (GaussianNoise, {"sigma": (0.0, 256.0)}),
        (GaussianNoise, {"sigma": (0.0, math.nan)}),
        (GaussianNoise, {"sigma": (0.0,)}),
        (GaussianNoise, {"sigma": (0.0, 25.0, 50.0)}),
        (GaussianNoise, {"sigma": (0.0, "50")}),
        (GaussianNoise, {"sigma": (False, 50.0)}),
        (GaussianNoise, {"quantise": "x"}),
    ],
)
def test_options_out_of_range_are_refused(make: Callable[..., Any], options: dict[str, float]) -> None:
    with pytest.raises(HarnessError, match=next(iter(options))) as caught:
        make(**options)
    assert caught.value.where.startswith("degradation ")
    assert caught.value.hint


def test_numbers_of_numpy_are_options_too() -> None:
    assert MotionBlur(size=np.int64(5)).size == 5  # type: ignore[arg-type]
    assert GaussianNoise(sigma=np.float32(25)).sigma == 25  # type: ignore[arg-type]
    assert GaussianNoise(sigma=25).sigma == 25


@pytest.mark.parametrize("make", ALL)
def test_a_grey_image_keeps_its_shape(make: Callable[[], Any], coffee: np.ndarray) -> None:
    assert make()(coffee[:24, :20, :1], np.random.default_rng(5)).shape == (24, 20, 1)


def test_noise_alone_is_drawn_at_every_draw() -> None:
    acts = {make.__name__: make.traits.acts for make in ALL}  # type: ignore[attr-defined]
    assert acts == {"LowLight": "fixed", "GaussianNoise": "drawn", "Rain": "fixed", "MotionBlur": "fixed"}
    assert GaussianNoise.traits.varies == ("sigma",)


def test_sigma_comes_first_and_then_the_noise(coffee: np.ndarray) -> None:
    random = np.random.default_rng(5)
    sigma = 10 + 40 * random.random()
    wanted = coffee + random.standard_normal(coffee.shape, dtype=np.float32) * np.float32(sigma / 255)
    noise = GaussianNoise(sigma=(10.0, 50.0))
    np.testing.assert_allclose(noise(coffee, np.random.default_rng(5)), wanted, atol=1e-6)
    given = noise.with_settings(coffee, np.random.default_rng(5), {"sigma": 51.0})
    alone = coffee + np.random.default_rng(5).standard_normal(coffee.shape, dtype=np.float32) * np.float32(0.2)
    np.testing.assert_allclose(given, alone, atol=1e-6)


def test_one_sigma_takes_no_random_number() -> None:
    random = np.random.default_rng(5)
    assert GaussianNoise(sigma=25.0).settings(random) == {"sigma": 25.0}
    assert random.random() == np.random.default_rng(5).random()


def test_sigma_is_uniform_over_its_range() -> None:
    random = np.random.default_rng(0)
    noise = GaussianNoise(sigma=(10.0, 50.0))
    drawn = np.array([noise.settings(random)["sigma"] for _ in range(4000)])
    counts, _ = np.histogram(drawn, bins=4, range=(10.0, 50.0))
    assert counts.sum() == 4000
    assert np.abs(counts - 1000).max() < 120  # four standard deviations


@pytest.mark.parametrize("quantise", ["floor", "round"])
def test_drawn_levels_are_whole_ones(quantise: Any, coffee: np.ndarray) -> None:
    noisy = GaussianNoise(sigma=(5.0, 50.0), quantise=quantise)(
        coffee[..., [0, 1, 2, 2, 1, 0]], np.random.default_rng(5)
    )
    assert (noisy.dtype, noisy.shape) == (np.float32, (*coffee.shape[:2], 6))
    np.testing.assert_array_equal(noisy, np.rint(noisy * 255).astype(np.float32) / np.float32(255))


def test_a_range_has_no_noise_like_the_papers(coffee: np.ndarray) -> None:
    with pytest.raises(HarnessError, match="the range 0 to 50, and test images have one σ each"):
        GaussianNoise(sigma=(0.0, 50.0)).with_legacy(coffee, np.random.RandomState(0))


def test_srgb_round_trip_and_known_values() -> None:
    levels = np.linspace(0, 1, 256)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=1e-9)
    assert srgb_to_linear(np.array(0.5)) == pytest.approx(0.21404, abs=1e-5)
    assert linear_to_srgb(np.array([-1.0, 2.0])).tolist() == [0.0, pytest.approx(1.0)]


def test_light_is_caught_as_electrons_with_their_noise() -> None:
    light = np.full((400, 500), 0.25, np.float32)
    electrons = caught(light, 800.0, 6.0, np.random.default_rng(0)) * 800
    assert electrons.mean() == pytest.approx(200, rel=0.002)
    assert electrons.var() == pytest.approx(200 + 36, rel=0.02)


def test_degradations_that_imitate_photographs_say_so() -> None:
    assert [make.traits.synthetic for make in ALL] == [True, False, True, True]  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", ALL)
def test_images_that_reach_beyond_black_and_white_are_taken(make: Callable[[], Any], coffee: np.ndarray) -> None:
    reaching = coffee.copy()
    reaching[:2], reaching[2:4] = LEAST, MOST
    assert np.isfinite(make()(reaching, np.random.default_rng(0))).all()
