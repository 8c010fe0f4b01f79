"""Every built-in metric keeps the contract; one with published weights on small stand-ins for them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from harness.api.task import EvaluationProtocol
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


def test_every_metric_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("metric"))
