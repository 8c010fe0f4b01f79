"""Refiners of decoder features keep the contract, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.parts.catalogue import REGISTRY
from harness.testing.refiner import RefinerContract
from tests import tiny_hrnet
from tests.contract.test_refiners import assert_trains_deterministically, assert_waits


class TestSKF(RefinerContract):
    name = "skf"
    prior_dims = (36,)

    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path) -> None:
        self.options = tiny_hrnet.write(tmp_path)

    on_host = False

    def make(self, prior_dim: int, channels: Any = (8, 4, 4)) -> Any:
        return REGISTRY.load("refiner", self.name)(channels, **self.options)

    def test_waits_for_nothing_on_a_gpu(self) -> None:
        assert_waits(self, on_host=self.on_host)

    def test_can_be_trained_deterministically(self) -> None:
        assert_trains_deterministically(self)


class TestSKFOfTheTruth(TestSKF):
    def make(self, prior_dim: int, channels: Any = (8, 4, 4)) -> Any:
        return REGISTRY.load("refiner", self.name)(channels, semantics="truth", **self.options)


class TestSKFOfNoise(TestSKF):
    on_host = True

    def make(self, prior_dim: int, channels: Any = (8, 4, 4)) -> Any:
        return REGISTRY.load("refiner", self.name)(channels, guidance="random", **self.options)
