"""Every built-in degradation keeps the contract."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from harness.core.errors import HarnessError
from harness.parts.catalogue import REGISTRY
from harness.testing.degradation import DegradationContract
from harness.testing.part import picture


class Catalogued(DegradationContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    def make(self) -> Any:
        return REGISTRY.load("degradation", self.name)(**self.options)

    def test_takes_other_images_than_rgb(self) -> None:
        """Gray images, and the two views of a dual-pixel camera: 1 and 6 channels."""
        colour = picture(*self.sides[0])
        for clean in (colour[..., :1], np.concatenate([colour, colour[:, ::-1]], 2)):
            self.check_kept(np.ascontiguousarray(clean))


class TestLowLight(Catalogued):
    name = "low_light"


class TestLowLightWithoutReadNoise(TestLowLight):
    options: ClassVar[dict[str, Any]] = {"read_noise": 0.0, "full_well": 10.0}


class TestGaussianNoise(Catalogued):
    name = "gaussian_noise"


class TestNoiseOfManyStrengths(Catalogued):
    name = "gaussian_noise"
    options: ClassVar[dict[str, Any]] = {"sigma": (0.0, 50.0)}

    def test_draws_like_the_field_where_it_says_so(self) -> None:
        """The papers test at one σ: a range has no test noise like theirs."""
        with pytest.raises(HarnessError, match="one σ"):
            self.make().with_legacy(picture(*self.sides[0]), np.random.RandomState(0))


class TestQuantisedNoise(Catalogued):
    name = "gaussian_noise"
    options: ClassVar[dict[str, Any]] = {"sigma": (10.0, 50.0), "quantise": "floor"}

    def test_draws_like_the_field_where_it_says_so(self) -> None:
        """As for every range."""
        with pytest.raises(HarnessError, match="one σ"):
            self.make().with_legacy(picture(*self.sides[0]), np.random.RandomState(0))


class TestRain(Catalogued):
    name = "rain"


class TestHeavyRain(TestRain):
    options: ClassVar[dict[str, Any]] = {"density": 0.05, "layers": 4, "brightness": 1.0}


class TestMotionBlur(Catalogued):
    name = "motion_blur"


def test_every_degradation_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("degradation"))
