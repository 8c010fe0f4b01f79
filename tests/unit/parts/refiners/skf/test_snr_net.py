from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from harness.parts.backbones.snr_net import SNRNet
from harness.parts.refiners.skf.snr_net import SNRNetEmbeddings
from harness.parts.shared.blocks import snr_map
from harness.testing import checks

Place = Literal["before", "after"]
PLACES: tuple[Place, ...] = ("before", "after")


def pair(place: Place) -> tuple[SNRNet, SNRNetEmbeddings]:
    torch.manual_seed(0)
    backbone = SNRNet(nf=8, layers=1, heads=2, head_dim=16, inner=32)
    return backbone, SNRNetEmbeddings(nf=8, semantic_channels=(6, 5, 4), place=place)


def inputs() -> tuple[Tensor, list[Tensor]]:
    """Images, and features as a segmentation network gives them, the deepest of which is not needed."""
    generator = torch.Generator().manual_seed(0)
    features = [torch.rand(2, 4 + n, 8 >> n, 16 >> n, generator=generator) for n in range(4)]
    return checks.images(2, 3, 32, 64), features


def restore(backbone: SNRNet, skf: SNRNetEmbeddings, lq: Tensor, features: list[Tensor]) -> Tensor:
    return backbone.restore(lq, snr_map(lq), skf.merge(features))


@pytest.mark.parametrize("place", PLACES)
def test_keeps_the_size_and_reaches_every_parameter(place: Place) -> None:
    backbone, skf = pair(place)
    lq, features = inputs()
    assert restore(backbone, skf, lq, features).shape == lq.shape
    for module in (backbone, skf):
        assert not checks.without_gradient(module, lambda: restore(backbone, skf, lq, features).square().mean())


@pytest.mark.parametrize("place", PLACES)
def test_image_does_not_depend_on_its_batch(place: Place) -> None:
    backbone, skf = pair(place)
    lq, features = inputs()
    alone = [restore(backbone, skf, lq[n : n + 1], [x[n : n + 1] for x in features]) for n in range(2)]
    checks.assert_close(restore(backbone, skf, lq, features), torch.cat(alone), "in a batch and alone", tolerance=1e-5)


@pytest.mark.parametrize("place", PLACES)
def test_each_of_the_three_finest_features_counts(place: Place) -> None:
    backbone, skf = pair(place)
    lq, features = inputs()
    expected = restore(backbone, skf, lq, features)
    for level, counts in enumerate((True, True, True, False)):
        changed = [x.flip(0) if n == level else x for n, x in enumerate(features)]
        assert (not torch.equal(restore(backbone, skf, lq, changed), expected)) is counts


def test_published_sizes() -> None:
    added = {place: sum(p.numel() for p in SNRNetEmbeddings(place=place).parameters()) for place in PLACES}
    assert {place: number + 39_124_099 for place, number in added.items()} == {
        "before": 39_449_509,
        "after": 40_355_521,
    }
