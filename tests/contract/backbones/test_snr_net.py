"""SNR-Net keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from tests.contract.backbones.catalogued import Catalogued


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
