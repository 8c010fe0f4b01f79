"""What every metric promises. Inherit the class in a test file and say how to make yours.

class TestMine(MetricContract):
    def make(self, protocol):
        return Mine(protocol, border=2)
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from harness.api.protocols import PROTOCOLS, RGB_UINT8
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.testing.part import PartContract, global_seeds, picture

NOISE = (4.0, 16.0, 64.0)
"""Standard deviations of growing noise, on the scale of 0 to 255."""

SMALL = ((9, 40), (3, 3))
"""Heights and widths that windows and networks are larger than."""


class MetricContract(PartContract):
    """One float per restored image, under any protocol."""

    kind = "metric"
    sides: ClassVar[tuple[tuple[int, int], ...]] = ((64, 48), (65, 71))
    """Heights and widths to try."""

    def make(self, protocol: EvaluationProtocol) -> Any:
        """A fresh metric (harness.api.metric.Metric); the protocol is its one positional argument."""
        raise NotImplementedError

    @cached_property
    def part(self) -> Any:
        return type(self.make(RGB_UINT8))

    @property
    def positional(self) -> int:
        return 1

    def truth(self, protocol: EvaluationProtocol = RGB_UINT8, sides: tuple[int, int] | None = None) -> np.ndarray:
        """A clean image as a protocol leaves it: H×W×3 float64 in [0, 255]."""
        return _as_scored(255.0 * picture(*(sides or self.sides[0])).astype(np.float64), protocol)

    def value(self, metric: Any, restored: np.ndarray, truth: np.ndarray) -> float:
        """What the metric says of an image: of both, or without reference of the restored one alone."""
        given = (restored,) if self.part.traits.reference == "none" else (restored, truth)
        value: float = metric(*given)
        return value

    def restored(self, truth: np.ndarray, noise: float, protocol: EvaluationProtocol = RGB_UINT8) -> np.ndarray:
        """The truth with white noise."""
        return _as_scored(truth + noise * np.random.default_rng(1).standard_normal(truth.shape), protocol)

    def test_gives_one_float(self) -> None:
        """Gives one number per image, under every protocol and at odd sizes."""
        for protocol in PROTOCOLS.values():
            metric = self.make(protocol)
            for sides in self.sides:
                truth = self.truth(protocol, sides)
                value = self.value(metric, self.restored(truth, 16.0, protocol), truth)
                assert isinstance(value, float), f"under {protocol.name} a {type(value).__name__}, not a float"
                assert np.isfinite(value), f"{value} under {protocol.name}"

    def test_flat_images_have_a_value(self) -> None:
        """Has a value for flat images, too; one without reference may say by DataError why it has none."""
        metric, shape = self.make(RGB_UINT8), (*self.sides[0], 3)
        for restored, truth in ((0.0, 0.0), (255.0, 255.0), (0.0, 255.0)):
            try:
                value = self.value(metric, np.full(shape, restored), np.full(shape, truth))
            except DataError:
                assert self.part.traits.reference == "none", "a DataError for flat images, which it could compare"
                continue
            assert not np.isnan(value), f"NaN for an image of {restored:g} and a truth of {truth:g}"

    def test_small_images_have_a_value_or_a_reason(self) -> None:
        """Gives small images a number, or says by DataError why they have none."""
        metric, random = self.make(RGB_UINT8), np.random.default_rng(0)
        for height, width in SMALL:
            restored, truth = (np.rint(random.uniform(0, 255, (height, width, 3))) for _ in range(2))
            try:
                self.value(metric, restored, truth)
            except DataError:
                continue
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                raise AssertionError(f"an image of {width}×{height} raises no DataError but {said}") from error

    def test_more_noise_is_worse(self) -> None:
        """Gets worse with growing noise, in the direction that its traits say."""
        metric, truth, higher = self.make(RGB_UINT8), self.truth(), self.part.traits.higher_is_better
        values = [self.value(metric, self.restored(truth, noise), truth) for noise in NOISE]
        worse = all(one > other if higher else one < other for one, other in pairwise(values))
        seen = ", ".join(f"{value:.4g} at σ {noise:g}" for noise, value in zip(NOISE, values, strict=True))
        assert worse, f"higher_is_better={higher}, and it gives {seen}"

    def test_identical_images_are_best(self) -> None:
        """Gives identical images the best value, if it compares."""
        if self.part.traits.reference == "none":
            return
        metric, truth, higher = self.make(RGB_UINT8), self.truth(), self.part.traits.higher_is_better
        best, other = metric(truth.copy(), truth), metric(self.restored(truth, NOISE[0]), truth)
        assert best > other if higher else best < other, f"{best:.4g} for identical images, {other:.4g} with noise"

    def test_leaves_the_images_alone(self) -> None:
        """Leaves both images as they were."""
        truth = self.truth()
        restored = self.restored(truth, 16.0)
        before = restored.copy(), truth.copy()
        self.value(self.make(RGB_UINT8), restored, truth)
        assert np.array_equal(restored, before[0]), "the restored image has changed"
        assert np.array_equal(truth, before[1]), "the truth has changed"

    def test_value_depends_on_the_images_alone(self) -> None:
        """Gives the same number again, whatever it was called with before."""
        metric, truth = self.make(RGB_UINT8), self.truth()
        restored = self.restored(truth, 16.0)
        with global_seeds(1):
            first = self.value(metric, restored, truth)
        self.value(metric, truth, restored[::-1].copy())
        with global_seeds(2):
            again = self.value(metric, restored, truth)
        assert first == again, f"{first!r}, and again {again!r}"
        made_anew = self.value(self.make(RGB_UINT8), restored, truth)
        assert first == made_anew, f"{first!r}, and made anew {made_anew!r}"


def _as_scored(image_HW3: np.ndarray, protocol: EvaluationProtocol) -> np.ndarray:
    clipped = np.clip(image_HW3, 0.0, 255.0)
    return np.rint(clipped) if protocol.rounding == "uint8" else clipped
