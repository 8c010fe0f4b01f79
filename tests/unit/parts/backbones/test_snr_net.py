from __future__ import annotations

import cv2
import numpy as np
import torch

from harness.parts.backbones.snr_net import SNRNet
from harness.parts.shared.blocks import snr_map

SMALL = {"nf": 8, "layers": 1, "heads": 2, "head_dim": 16, "inner": 32}


def test_snr_map_follows_the_papers_recipe() -> None:
    image = np.random.default_rng(0).random((2, 20, 17, 3))
    result = snr_map(torch.from_numpy(image).permute(0, 3, 1, 2))[:, 0].numpy()
    for row, pixels in zip(result, image, strict=True):
        grey, signal = (picture @ np.array([0.299, 0.587, 0.114]) for picture in (pixels, cv2.blur(pixels, (5, 5))))
        ratio = signal / (abs(grey - signal) + 1e-4)
        assert np.allclose(row, (ratio / (ratio.max() + 1e-4)).clip(0, 1), atol=1e-9)


def test_silenced_patches_are_not_heard() -> None:
    """With SNR 0 the output is the transformer's; a patch that no one listens to changes only itself."""
    torch.manual_seed(0)
    network = SNRNet(**SMALL).eval()
    features = torch.rand(1, 8, 8, 8)  # four patches
    changed = features.clone()
    changed[..., 4:, 4:] = torch.rand(4, 4)
    snr = torch.ones(1, 1, 8, 8)
    with torch.no_grad():
        heard = network._long_range(changed, snr) - network._long_range(features, snr)
        snr[..., 4:, 4:] = 0.5
        silenced = network._long_range(changed, snr) - network._long_range(features, snr)
    assert heard[..., :4, :4].abs().max() > 1e-6
    assert not silenced[..., :4, :].any()
    assert silenced[..., 4:, 4:].any()
