"""Every built-in degradation keeps the contract."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.parts.catalogue import REGISTRY
from harness.testing.degradation import DegradationContract


class Catalogued(DegradationContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    def make(self) -> Any:
        return REGISTRY.load("degradation", self.name)(**self.options)


class TestLowLight(Catalogued):
    name = "low_light"


class TestLowLightWithoutReadNoise(TestLowLight):
    options: ClassVar[dict[str, Any]] = {"read_noise": 0.0, "full_well": 10.0}


class TestGaussianNoise(Catalogued):
    name = "gaussian_noise"


class TestRain(Catalogued):
    name = "rain"


class TestHeavyRain(TestRain):
    options: ClassVar[dict[str, Any]] = {"density": 0.05, "layers": 4, "brightness": 1.0}


class TestMotionBlur(Catalogued):
    name = "motion_blur"


def test_every_degradation_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("degradation"))
