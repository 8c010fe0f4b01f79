"""Every built-in backbone keeps the contract, at a width that a CPU runs at once."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from harness.parts.catalogue import REGISTRY
from harness.testing.backbone import BackboneContract


class Catalogued(BackboneContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]

    def make(self) -> Any:
        return REGISTRY.load("backbone", self.name)(**self.options)

    def test_parameter_count(self) -> None:
        assert sum(parameter.numel() for parameter in self.make().parameters()) == self.parameters


ONE_BLOCK: dict[str, Any] = {"enc_blk_nums": [1, 1, 1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1, 1]}


class TestNAFNet(Catalogued):
    name = "nafnet"
    options: ClassVar[dict[str, Any]] = {"width": 8, **ONE_BLOCK}
    parameters = 290_715


class TestLocalNAFNet(Catalogued):
    name = "nafnet"
    options: ClassVar[dict[str, Any]] = {"width": 8, **ONE_BLOCK, "tlc": 16}
    parameters = 290_715


class TestRestormer(Catalogued):
    name = "restormer"
    options: ClassVar[dict[str, Any]] = {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1}
    parameters = 208_225


class TestBiasFreeRestormer(Catalogued):
    name = "restormer"
    options: ClassVar[dict[str, Any]] = {
        "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "bias": True, "layer_norm": "bias_free"
    }  # fmt: skip
    parameters = 211_592


class TestDualPixelRestormer(Catalogued):
    name = "restormer"
    options: ClassVar[dict[str, Any]] = {
        "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "inp_channels": 6, "dual_pixel_task": True
    }  # fmt: skip
    parameters = 208_569


class TestSNRNet(Catalogued):
    name = "snr_net"
    options: ClassVar[dict[str, Any]] = {"nf": 8, "layers": 2, "heads": 2, "head_dim": 16, "inner": 64}
    parameters = 88_339

    def test_trusts_no_patch_of_pure_noise(self) -> None:
        """All keys silenced: attention is uniform, and finite."""
        network = self.stirred()
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            assert network.restore(image, torch.zeros(1, 1, 32, 32)).isfinite().all()


def test_every_backbone_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("backbone"))
