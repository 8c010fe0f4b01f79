from __future__ import annotations

import torch

from harness.parts.backbones.ruas import RUAS


def test_without_denoiser_the_last_iteration_is_the_result() -> None:
    network, image = RUAS(denoise=False), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        enhanced, illuminations = network.iterate(image)
        assert torch.equal(network(image), enhanced[-2])
    assert len(illuminations) == 3
    assert not any(parameter.requires_grad for parameter in network.denoise_net.parameters())
    assert not [tap for tap in network.capabilities.taps if "denoise" in tap]


def test_both_uses_share_checkpoints() -> None:
    RUAS(denoise=False).load_state_dict(RUAS().state_dict(), strict=True)
