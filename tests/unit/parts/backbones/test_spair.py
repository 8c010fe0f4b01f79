"""SPAIR: what the mask does. There is nothing official to compare with."""

from __future__ import annotations

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.spair import SPAIR, Gathering, Modulation, SparseBlock, _statistics
from harness.testing import checks


def half_mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    return mask


def test_it_says_that_it_is_reimplemented_and_unverified() -> None:
    assert SPAIR.traits.reimplemented
    assert not SPAIR.traits.verified
    assert "Reimplemented" in (__import__(SPAIR.__module__, fromlist=["_"]).__doc__ or "")


def test_default_size_is_the_docstrings() -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in SPAIR().parameters())
    assert f"{count / 1e6:.1f} million" in " ".join((SPAIR.__doc__ or "").split())


def test_a_level_is_needed() -> None:
    with pytest.raises(HarnessError, match="levels"):
        SPAIR(levels=0)


def test_clean_positions_pass_the_sparse_convolution_and_the_gathering_unchanged() -> None:
    f = torch.randn(1, 4, 8, 8)
    for block in (SparseBlock(4), Gathering(4)):
        checks.stir(block)
        out = block(f, half_mask())
        assert torch.equal(out[..., :4], f[..., :4])
        assert not torch.equal(out[..., 4:], f[..., 4:])


def test_degraded_positions_gather_from_clean_ones() -> None:
    """What lies at other degraded positions hardly matters; what lies at clean ones does."""
    block = Gathering(4)
    checks.stir(block)
    f = torch.randn(1, 4, 8, 8)
    place = (0, slice(None), 0, 7)
    of_degraded, of_clean = f.clone(), f.clone()
    of_degraded[..., 0, 5] += 1
    of_clean[..., 0, 1] += 1
    base, one, other = (block(x, half_mask())[place] for x in (f, of_degraded, of_clean))
    assert (one - base).abs().max() < 0.05 * (other - base).abs().max()


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_an_image_all_of_one_kind_is_not_moved(mask: float) -> None:
    features = 3 + torch.randn(2, 4, 8, 8)
    masks = torch.full((2, 1, 8, 8), mask)
    for of_degraded, of_clean in zip(_statistics(features, masks), _statistics(features, 1 - masks), strict=True):
        torch.testing.assert_close(of_degraded, of_clean, atol=1e-4, rtol=1e-4)


def test_modulation_gives_degraded_positions_the_statistics_of_clean_ones() -> None:
    block = Modulation(2, 3)
    with torch.no_grad():
        block.gate.weight.zero_()
        block.gate.bias.fill_(50)  # everything is trusted
        block.fuse.weight.copy_(torch.cat([torch.eye(2), -torch.eye(2)], 1)[..., None, None])
        block.fuse.bias.zero_()
    f = torch.randn(1, 2, 8, 8)
    f[..., 4:] = 3 * f[..., 4:] + 5
    out = block(f, half_mask(), torch.zeros(1, 3, 8, 8))
    clean, degraded = out[..., :4], out[..., 4:]
    torch.testing.assert_close(degraded.mean((-2, -1)), clean.mean((-2, -1)), atol=1e-2, rtol=0)
    torch.testing.assert_close(
        degraded.std((-2, -1), correction=0), clean.std((-2, -1), correction=0), atol=1e-2, rtol=0
    )
