"""Every built-in task keeps the contract."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.parts.catalogue import REGISTRY
from harness.testing.task import TaskContract


class Catalogued(TaskContract):
    name: ClassVar[str]

    def make(self) -> Any:
        return REGISTRY.load("task", self.name)


class TestLowLight(Catalogued):
    name = "low_light"


class TestGaussianDenoise(Catalogued):
    name = "gaussian_denoise"


class TestDerain(Catalogued):
    name = "derain"


class TestMotionBlur(Catalogued):
    name = "motion_blur"


class TestRealDenoise(Catalogued):
    name = "real_denoise"


class TestDefocus(Catalogued):
    name = "defocus"


def test_every_task_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("task"))
