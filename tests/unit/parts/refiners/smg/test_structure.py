from __future__ import annotations

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.refiners.smg.structure import StructureNet, difference
from harness.testing import checks


def small(size: int = 16) -> StructureNet:
    torch.manual_seed(0)
    network = StructureNet(size=size, style_dim=8, mlp_layers=2, narrow=0.125).eval()
    checks.stir(network)  # The weights of the guides start at zero.
    return network


def grey() -> torch.Tensor:
    return checks.images(2, 1, 16, 16)


def test_edges_between_0_and_1_and_a_style_for_each_layer() -> None:
    edges, styles = small()(grey())
    assert edges.shape == (2, 1, 16, 16)
    assert 0 < edges.min() < edges.max() < 1
    assert styles.shape == (2, 6, 8)


def test_gradient_reaches_every_parameter_in_training() -> None:
    network = small().train()
    assert not checks.without_gradient(network, lambda: network(grey()).map_B1HW.square().mean())


def test_noise_at_full_resolution_in_training_only() -> None:
    network = small()
    assert torch.equal(network(grey()).map_B1HW, network(grey()).map_B1HW)
    network.train()
    assert not torch.equal(network(grey()).map_B1HW, network(grey()).map_B1HW)
    idle = checks.without_gradient(network.eval(), lambda: network(grey()).map_B1HW.square().mean())
    assert idle == ["generator.convs.2.noise.weight", "generator.convs.3.noise.weight"]


def test_image_does_not_depend_on_its_batch() -> None:
    network = small()
    alone = torch.cat([network(image).map_B1HW for image in grey().split(1)])
    checks.assert_close(network(grey()).map_B1HW, alone, "in a batch and alone", tolerance=1e-5)


def test_difference_from_a_neighbour() -> None:
    ramp = torch.arange(6.0).view(1, 1, 6, 1).expand(1, 1, 6, 4)
    assert difference(ramp, (-1, 0)).eq(1).all()
    assert difference(ramp, (1, 1)).eq(-1).all()
    assert difference(ramp, (0, 1)).eq(0).all()


@pytest.mark.parametrize("size", [4, 24])
def test_sizes_that_do_not_fit(size: int) -> None:
    with pytest.raises(HarnessError, match="power of two"):
        StructureNet(size=size)


def test_images_that_do_not_fit() -> None:
    with pytest.raises(HarnessError, match="built for 16×16, not 16×32"):
        small()(torch.rand(1, 1, 16, 32))


def test_published_size_that_the_goldens_here_do_not_cover() -> None:
    with torch.device("meta"):
        network = StructureNet(size=256)
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_194_410
