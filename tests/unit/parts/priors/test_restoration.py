"""The prior made of a restoration network's features."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from harness.api.backbone import Capabilities
from harness.core.errors import HarnessError
from harness.parts.priors.restoration import Restoration, _pad


class Doubling(nn.Module):
    """A backbone whose deepest features are known: the three colours, and twice the three colours."""

    capabilities = Capabilities(size_multiple=8, taps=("first", "deep"))

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Identity()
        self.deep = nn.Conv2d(3, 6, 1, bias=False)
        with torch.no_grad():
            self.deep.weight.copy_(torch.cat([torch.eye(3), 2 * torch.eye(3)])[:, :, None, None])

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        assert lq_BCHW.shape[2] % 8 == lq_BCHW.shape[3] % 8 == 0
        return self.deep(self.first(lq_BCHW))[:, :3]


def prior(tap: str = "deepest") -> Restoration:
    return Restoration(SimpleNamespace(backbone=Doubling()), source="a cell", tap=tap)


def test_channels_mean_and_spread_at_unit_length() -> None:
    image = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    mean, spread = image.mean((2, 3)), image.std((2, 3), correction=0)
    expected = torch.cat([mean, 2 * mean, spread, 2 * spread], dim=1)
    rows = prior().encode(image)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, expected / expected.norm(dim=1, keepdim=True))
    assert not rows.requires_grad


def test_a_tap_may_be_chosen_and_sets_the_width() -> None:
    assert prior().dim == 12
    assert prior("first").dim == 6
    assert not prior().traits.derived


def test_unknown_taps_are_refused_with_the_known_ones() -> None:
    with pytest.raises(HarnessError, match="taps: deepest, first, deep"):
        prior("middle")


def test_a_network_without_taps_is_refused() -> None:
    backbone = Doubling()
    backbone.capabilities = Capabilities()
    with pytest.raises(HarnessError, match="declares no taps"):
        Restoration(SimpleNamespace(backbone=backbone), source="a cell")


def test_the_network_is_frozen_for_good() -> None:
    backbone = Doubling().train()
    Restoration(SimpleNamespace(backbone=backbone), source="a cell")
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_padding_reflects_as_often_as_it_takes() -> None:
    row = torch.arange(3.0).reshape(1, 1, 1, 3).expand(1, 1, 3, 3)
    padded = _pad(row, Capabilities(size_multiple=8))
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert _pad(padded, Capabilities(size_multiple=8)) is padded
    assert _pad(padded, Capabilities(min_size=12)).shape == (1, 1, 12, 12)
