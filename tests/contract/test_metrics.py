"""Every built-in metric keeps the contract; one with published weights on small stand-ins for them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from harness.api.protocols import RGB_UINT8
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.parts.catalogue import REGISTRY
from harness.testing.metric import MetricContract


class Catalogued(MetricContract):
    name: ClassVar[str]

    def make(self, protocol: EvaluationProtocol) -> Any:
        return REGISTRY.load("metric", self.name)(protocol)


class TestPSNR(Catalogued):
    name = "psnr"


class TestSSIM(Catalogued):
    name = "ssim"


@pytest.mark.usefixtures("random_lpips")
class TestLPIPS(Catalogued):
    name = "lpips"

    def test_the_smallest_image(self) -> None:
        """One pixel less, and a layer of the network has no output."""
        metric, truth = self.make(RGB_UINT8), self.truth(sides=(31, 31))
        assert metric(self.restored(truth, 16.0), truth) > 0
        with pytest.raises(DataError, match="at least 31×31 pixels, the image has 31×30"):
            metric(truth[:30], truth[:30])
        small = torch.zeros(1, 3, 30, 31)
        with pytest.raises(RuntimeError):
            metric._network(small, small)


def test_every_metric_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("metric"))
