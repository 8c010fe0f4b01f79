from __future__ import annotations

import torch

from harness.parts.refiners.smg.appearance import AppearanceNet
from harness.testing import checks


def small(blocks: int = 1) -> AppearanceNet:
    torch.manual_seed(0)
    return AppearanceNet(width=4, blocks=blocks)


def test_residual_of_the_images_size_with_gradients_everywhere() -> None:
    network = small(blocks=2)
    lq = checks.images(2, 3, 16, 24)
    assert network(lq).shape == lq.shape
    assert not checks.without_gradient(network, lambda: network(lq).square().mean())


def test_image_does_not_depend_on_its_batch() -> None:
    network = small()
    lq = checks.images(2, 3, 16, 24)
    alone = torch.cat([network(image) for image in lq.split(1)])
    checks.assert_close(network(lq), alone, "in a batch and alone", tolerance=1e-5)
