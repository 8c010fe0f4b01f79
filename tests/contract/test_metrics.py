"""Every built-in metric keeps the contract; one with published weights on small stand-ins for them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch

from harness.api.protocols import RGB_UINT8
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.parts.catalogue import REGISTRY
from harness.parts.settings import kept_seed, kept_settings
from harness.testing.metric import MetricContract
from tests.iqa_files import brisque_file, niqe_file, random_vgg16


class Catalogued(MetricContract):
    name: ClassVar[str]

    def make(self, protocol: EvaluationProtocol) -> Any:
        return REGISTRY.load("metric", self.name)(protocol)


class OfNetwork(Catalogued):
    """A metric that is a network, and computes on the job's device."""

    def _given(self) -> list[Any]:
        truth = self.truth(sides=(96, 100))
        images = [self.restored(truth, 16.0), truth]
        return images if self.make(RGB_UINT8).traits.reference == "full" else images[:1]

    def test_all_of_it_is_on_the_device(self) -> None:
        """The device `meta` computes nothing, but refuses what lies elsewhere, and has no number in the end."""
        metric = self.make(RGB_UINT8)
        metric.to(torch.device("meta"))
        with pytest.raises(RuntimeError, match=r"Tensor.item\(\) cannot be called on meta tensors"):
            metric(*self._given())

    def test_it_sets_nothing_of_the_process_for_good(self, caplog: pytest.LogCaptureFixture) -> None:
        metric, given = self.make(RGB_UINT8), self._given()
        with kept_settings(f"{self.name} on a device"), kept_seed(self.name):
            metric(*given)
        assert caplog.messages == []

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="for machines with a GPU")
    def test_a_gpu_gives_the_number_of_the_cpu(self) -> None:
        on_cpu, on_gpu, given = self.make(RGB_UINT8), self.make(RGB_UINT8), self._given()
        on_gpu.to(torch.device("cuda"))
        assert on_gpu(*given) == pytest.approx(on_cpu(*given), rel=1e-4, abs=1e-5)


class TestPSNR(Catalogued):
    name = "psnr"


class TestSSIM(Catalogued):
    name = "ssim"


@pytest.mark.usefixtures("random_lpips")
class TestLPIPS(OfNetwork):
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


class TestMAE(Catalogued):
    name = "mae"


class Unknown(Catalogued):
    """A metric with random parameters, which say nothing of noise."""

    test_more_noise_is_worse = None  # type: ignore[assignment]


class TestDISTS(OfNetwork):
    name = "dists"

    @pytest.fixture(autouse=True)
    def random_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from pyiqa.archs import dists_arch

        monkeypatch.setattr(dists_arch.models, "vgg16", random_vgg16)
        file = tmp_path / "dists.pth"
        torch.save({name: torch.full((1, 1475, 1, 1), 0.1) for name in ("alpha", "beta")}, file)
        monkeypatch.setattr("harness.parts.metrics.dists.ready_files", lambda *part: (Path(), file))


class TestNIQE(Unknown):
    name = "niqe"
    sides = ((192, 200), (99, 301))

    @pytest.fixture(autouse=True)
    def random_parameters(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = niqe_file(tmp_path)
        monkeypatch.setattr("harness.parts.metrics.niqe.ready_files", lambda *part: (file,))


class TestBRISQUE(Unknown):
    name = "brisque"

    @pytest.fixture(autouse=True)
    def random_parameters(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = brisque_file(tmp_path)
        monkeypatch.setattr("harness.parts.metrics.brisque.ready_files", lambda *part: (file,))


class TestMUSIQ(OfNetwork, Unknown):
    name = "musiq"

    @pytest.fixture(autouse=True)
    def small_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from pyiqa.archs import musiq_arch

        made = musiq_arch.MUSIQ.__init__

        def small(self: torch.nn.Module, pretrained_model_path: str) -> None:
            torch.manual_seed(0)
            made(self, hidden_size=24, mlp_dim=24, num_layers=1, pretrained=False)

        monkeypatch.setattr(musiq_arch.MUSIQ, "__init__", small)
        monkeypatch.setattr("harness.parts.metrics.musiq.ready_files", lambda *part: (Path(),))


class TestCLIPIQA(Unknown):
    """On a stand-in for pyiqa's network: nothing but what stands before it is tested."""

    name = "clipiqa"

    @pytest.fixture(autouse=True)
    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Network(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.clip_model = [torch.nn.Linear(1, 1)]

            def forward(self, batch: torch.Tensor) -> torch.Tensor:
                assert batch.shape[1] == 3
                assert 0 <= batch.min() <= batch.max() <= 1
                return batch.mean().reshape(1, 1)

        module = ModuleType("pyiqa.archs.clipiqa_arch")
        module.CLIPIQA = Network  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr("harness.parts.metrics.clipiqa.ready_files", lambda *part: (Path(),))

    def test_the_network_in_a_list_is_on_the_device_as_well(self) -> None:
        metric = self.make(RGB_UINT8)
        metric.to(torch.device("meta"))
        assert {each.device.type for each in metric._network.clip_model[0].parameters()} == {"meta"}


def test_every_metric_is_here() -> None:
    kinds = {Unknown, OfNetwork}
    cases = {each for kind in (Catalogued, *kinds) for each in kind.__subclasses__()} - kinds
    assert {case.name for case in cases} == set(REGISTRY.names("metric"))
