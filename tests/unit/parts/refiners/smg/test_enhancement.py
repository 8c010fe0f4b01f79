from __future__ import annotations

import torch

from harness.parts.refiners.smg.enhancement import EnhancementNet, SpatialNorm, StructureGuidance
from harness.testing import checks


def small() -> EnhancementNet:
    torch.manual_seed(0)
    return EnhancementNet(width=4)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return checks.images(2, 6, 16, 24), checks.images(2, 1, 16, 24, seed=1)


def test_residual_of_the_images_size_with_gradients_everywhere() -> None:
    network = small()
    assert network(*inputs()).shape == (2, 3, 16, 24)
    assert not checks.without_gradient(network, lambda: network(*inputs()).square().mean())


def test_image_does_not_depend_on_its_batch() -> None:
    network = small()
    images, edges = inputs()
    alone = torch.cat([network(*row) for row in zip(images.split(1), edges.split(1), strict=True)])
    checks.assert_close(network(images, edges), alone, "in a batch and alone", tolerance=1e-5)


def test_edges_count() -> None:
    network = small()
    images, edges = inputs()
    assert (network(images, edges) - network(images, 1 - edges)).abs().max() > 1e-4


def test_guidance_adds_to_the_features() -> None:
    guide = StructureGuidance(4)
    torch.nn.init.zeros_(guide.merge.weight)
    torch.nn.init.constant_(guide.merge.bias, -1.0)
    features = torch.rand(2, 4, 8, 8)
    assert torch.equal(guide(features, torch.rand(2, 1, 16, 16)), features)


def test_spatial_norm_takes_out_each_images_own_statistics() -> None:
    norm = SpatialNorm(4)
    features, edges = torch.rand(2, 4, 8, 8), torch.rand(2, 1, 8, 8)
    assert torch.allclose(norm(5 * features - 2, edges), norm(features, edges), atol=1e-3)
