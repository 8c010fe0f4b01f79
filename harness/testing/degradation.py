"""What every degradation promises. Inherit the class in a test file and say how to make yours.

class TestMine(DegradationContract):
    def make(self):
        return Mine(strength=2.0)
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from harness.testing.part import PartContract, global_seeds, picture, told

SLACK = 1e-4
"""How far an 8-bit image may leave [0, 1] before it is clipped: rounding of float32 and no more."""


class DegradationContract(PartContract):
    """From a clean image to a degraded one, with all randomness from the given generator."""

    kind = "degradation"
    sides: ClassVar[tuple[tuple[int, int], ...]] = ((64, 48), (37, 53), (33, 32))
    """Heights and widths to try."""

    def make(self) -> Any:
        """A fresh degradation (harness.api.degradation.Degradation)."""
        raise NotImplementedError

    @cached_property
    def part(self) -> Any:
        return type(self.make())

    def degraded(self, *, seed: int = 0, image: int = 0, sides: tuple[int, int] | None = None) -> np.ndarray:
        """The picture `image`, degraded by a fresh degradation whose generator stands at `seed`."""
        clean = picture(*(sides or self.sides[0]), seed=image)
        result: np.ndarray = self.make()(clean, np.random.default_rng(seed))
        return result

    def test_keeps_shape_and_type(self) -> None:
        """Gives a finite float32 image of the same size and number of channels, odd sizes included."""
        for sides in self.sides:
            self.check_kept(picture(*sides))

    def check_kept(self, clean: np.ndarray) -> None:
        """Raises AssertionError unless a degraded image is float32, finite, and as large as the clean one."""
        result = self.make()(clean, np.random.default_rng(0))
        assert isinstance(result, np.ndarray), f"it gives a {type(result).__name__}, not an array"
        assert result.shape == clean.shape, f"{'×'.join(map(str, clean.shape))} becomes {told(result)}"
        assert result.dtype == np.float32, f"float32 becomes {result.dtype}"
        assert np.isfinite(result).all(), "some values are not finite"

    def test_settings_are_all_that_varies(self) -> None:
        """Where its traits name options that vary, draws their values, and then its noise, as `__call__` does."""
        if not self.part.traits.varies:
            return
        clean, degradation = picture(*self.sides[0]), self.make()
        random = np.random.default_rng(0)
        settings = degradation.settings(random)
        assert set(settings) == set(self.part.traits.varies), f"settings gives {', '.join(settings)}"
        apart = degradation.with_settings(clean, random, settings)
        assert np.array_equal(apart, self.degraded()), "settings and with_settings give another image than `__call__`"

    def test_quantised_images_stay_in_range(self) -> None:
        """Stays in [0, 1] where it says that results are 8-bit images."""
        if not self.part.traits.quantised:
            return
        for image in range(3):
            result = self.degraded(image=image, seed=image)
            low, high = float(result.min()), float(result.max())
            assert low >= -SLACK, f"quantised=True, and the lowest value is {low:.4f}"
            assert high <= 1 + SLACK, f"quantised=True, and the highest value is {high:.4f}"

    def test_changes_the_image(self) -> None:
        """Degrades the image."""
        assert not np.array_equal(self.degraded(), picture(*self.sides[0])), "the image comes back as it was"

    def test_same_generator_same_image(self) -> None:
        """Gives the same image for the same state of the generator, whatever it was called with before."""
        first = self.degraded()
        assert np.array_equal(first, self.degraded()), "made anew, it gives another image"
        degradation, sides = self.make(), self.sides[0]
        degradation(picture(*sides, seed=9), np.random.default_rng(9))
        again = degradation(picture(*sides), np.random.default_rng(0))
        assert np.array_equal(first, again), "an image that went before changes the next one"

    def test_draws_from_the_given_generator_alone(self) -> None:
        """Draws random numbers from the given generator alone."""
        results = []
        for seed in (1, 2):
            with global_seeds(seed):
                results.append(self.degraded())
        assert np.array_equal(results[0], results[1]), "it depends on a global generator"

    def test_another_seed_gives_another_image(self) -> None:
        """Gives another image for another seed, or never draws."""
        random = np.random.default_rng(0)
        before = repr(random.bit_generator.state)
        first = self.make()(picture(*self.sides[0]), random)
        drawn = repr(random.bit_generator.state) != before
        differs = not np.array_equal(first, self.degraded(seed=1))
        assert differs or not drawn, "it draws from the generator, and another seed gives the same image"
        assert drawn or not differs, "it does not draw from the generator, and another one gives another image"

    def test_draws_like_the_field_where_it_says_so(self) -> None:
        """Where its traits have the draw `seed0`, takes its noise from the given legacy generator alone."""
        if "seed0" not in self.part.traits.draws:
            return
        clean = picture(*self.sides[0])
        before = clean.copy()
        results = []
        for seed, elsewhere in ((0, 1), (0, 2), (1, 1)):
            with global_seeds(elsewhere):
                results.append(self.make().with_legacy(clean, np.random.RandomState(seed)))
        first, again, other = results
        assert first.shape == clean.shape, f"{told(clean)} becomes {told(first)}"
        assert first.dtype == np.float32, f"float32 becomes {first.dtype}"
        assert np.array_equal(clean, before), "the clean image has changed"
        assert np.array_equal(first, again), "it depends on a global generator"
        assert not np.array_equal(first, other), "another seed gives the same image"

    def test_leaves_the_clean_image_alone(self) -> None:
        """Leaves the clean image as it was."""
        clean = picture(*self.sides[0])
        before = clean.copy()
        result = self.make()(clean, np.random.default_rng(0))
        assert np.array_equal(clean, before), "the clean image has changed"
        result[...] = 0
        assert np.array_equal(clean, before), "the result shares its memory with the clean image"
