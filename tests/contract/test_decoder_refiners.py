"""Refiners of decoder features keep the contract, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.parts.catalogue import REGISTRY
from harness.testing.refiner import RefinerContract
from tests import tiny_hrnet


class TestSKF(RefinerContract):
    name = "skf"
    prior_dims = (36,)

    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path) -> None:
        self.options = tiny_hrnet.write(tmp_path)

    def make(self, prior_dim: int, channels: Any = (8, 4, 4)) -> Any:
        return REGISTRY.load("refiner", self.name)(channels, **self.options)


class TestSKFOfTheTruth(TestSKF):
    def make(self, prior_dim: int, channels: Any = (8, 4, 4)) -> Any:
        return REGISTRY.load("refiner", self.name)(channels, semantics="truth", **self.options)


class TestSKFOfNoise(TestSKF):
    def make(self, prior_dim: int, channels: Any = (8, 4, 4)) -> Any:
        return REGISTRY.load("refiner", self.name)(channels, guidance="random", **self.options)
