"""Blocks against their formulas, written another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError
from harness.parts.shared.blocks import (
    ChannelLayerNorm,
    GatedFeedForward,
    TransposedAttention,
    position_grid,
    reflect_to_square,
)


@pytest.mark.parametrize("like", [torch.contiguous_format, torch.channels_last])
def test_norm_with_bias_is_layer_norm_over_channels(like: torch.memory_format) -> None:
    norm = ChannelLayerNorm(6).double()
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.uniform_(-1, 1)
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64).contiguous(memory_format=like)
    expected = F.layer_norm(x.movedim(1, -1), (6,), norm.weight, norm.bias, 1e-5).movedim(-1, 1)
    assert torch.allclose(norm(x), expected, atol=1e-12)


def test_norm_without_bias_keeps_the_mean_of_x() -> None:
    norm = ChannelLayerNorm(2, bias=False, eps=0.0)
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)  # variance 1 around the mean 2
    assert torch.equal(norm(x), x)
    assert [name for name, _ in norm.named_parameters()] == ["weight"]


def test_norm_takes_its_statistics_in_float32() -> None:
    x = 300 + torch.randn(1, 16, 8, 8).bfloat16()
    result = ChannelLayerNorm(16)(x)
    assert result.dtype == torch.bfloat16
    expected = F.layer_norm(x.float().movedim(1, -1), (16,)).movedim(-1, 1)
    assert (result.float() - expected).abs().max() < 0.02


def test_attention_mixes_channels_within_heads() -> None:
    attention = TransposedAttention(8, heads=2).double()
    attention.temperature.data.copy_(torch.tensor([0.5, 3.0]).view(2, 1, 1))
    x = torch.randn(1, 8, 4, 3, dtype=torch.float64)
    query, key, value = attention.qkv_dwconv(attention.qkv(x))[0].flatten(1).chunk(3)
    heads = []
    for head, temperature in ((0, 0.5), (1, 3.0)):
        part = slice(4 * head, 4 * head + 4)
        q, k = (matrix[part] / matrix[part].norm(dim=1, keepdim=True) for matrix in (query, key))
        heads.append(torch.softmax(q @ k.T * temperature, dim=1) @ value[part])
    expected = attention.project_out(torch.cat(heads).view(1, 8, 4, 3))
    assert torch.allclose(attention(x), expected, atol=1e-12)


def test_attention_is_the_same_in_either_memory_format() -> None:
    attention = TransposedAttention(8, heads=2).double()
    x = torch.randn(2, 8, 4, 3, dtype=torch.float64)
    result = attention(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(result, attention(x), atol=1e-12)


def test_attention_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(HarnessError, match="3 attention heads do not divide 8 channels"):
        TransposedAttention(8, heads=3)


def test_feed_forward_rounds_its_width_down() -> None:
    block = GatedFeedForward(16, 2.66)
    assert block.project_in.out_channels == 2 * 42
    assert block.project_out.in_channels == 42


def test_position_grid_runs_down_then_across() -> None:
    grid = position_grid(3, 2, like=torch.zeros(1))
    assert grid.shape == (1, 2, 3, 2)
    assert grid[0, 0].tolist() == [[-1, -1], [0, 0], [1, 1]]
    assert grid[0, 1].tolist() == [[-1, 1], [-1, 1], [-1, 1]]


@pytest.mark.parametrize(("height", "width"), [(3, 11), (9, 8), (1, 4), (5, 5)])
def test_square_is_reflected_as_often_as_it_takes(height: int, width: int) -> None:
    image = torch.rand(2, 3, height, width)
    side = max(height, width)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (0, side - height), (0, side - width)), mode="reflect")
    assert np.array_equal(reflect_to_square(image), expected)
