from __future__ import annotations

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.refiners.skf.hrnet import HRNet
from harness.testing import checks


def small() -> HRNet:
    torch.manual_seed(0)
    return HRNet(classes=5, channels=(4, 6, 8, 10), modules=(1, 2, 1), blocks=1).eval()


@pytest.mark.parametrize(("height", "width"), [(32, 64), (36, 50)])
def test_sizes(height: int, width: int) -> None:
    semantics = small()(torch.rand(2, 3, height, width))
    assert semantics.logits_BKHW.shape == (2, 5, height, width)
    assert [feature.shape[1] for feature in semantics.features] == [4, 6, 8, 10]
    for level, feature in enumerate(semantics.features):
        scale = 4 << level
        assert feature.shape[-2:] == (-(-height // scale), -(-width // scale))
    assert torch.allclose(semantics.classes().sum(1), torch.ones(2, height, width))


def test_gradient_reaches_every_parameter() -> None:
    network = small()
    checks.stir(network)
    image = checks.images(2, 3, 64, 64)
    assert not checks.without_gradient(network, lambda: network(image).logits_BKHW.square().mean())


def test_image_does_not_depend_on_its_batch() -> None:
    network = small()
    images = checks.images(2, 3, 32, 64)
    with torch.no_grad():
        together = network(images).logits_BKHW
        alone = torch.cat([network(image).logits_BKHW for image in images.split(1)])
    checks.assert_close(together, alone, "in a batch and alone", tolerance=1e-5)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(HarnessError, match="four branches"):
        HRNet(channels=(4, 6, 8))
