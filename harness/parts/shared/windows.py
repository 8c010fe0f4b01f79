"""Uformer's transformer block, for the networks that have it. The block is spandrel's (MIT).

Shape letters: B batch, C channels, H×W map, N positions (H·W), V windows, P positions of a window.
"""

from __future__ import annotations

from math import isqrt

import torch
from spandrel.architectures.Uformer.__arch.Uformer import LeWinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

SILENCE = -100.0
"""What is added to the scores of positions that only the shift brings into one window."""


def keep_on_device(network: nn.Module) -> None:
    """Lets all of the network's blocks make the mask of their shifted windows on the device of their input.

    Spandrel's make it on the host in every forward pass: a copy for which a GPU is waited for, and which no CUDA graph
    can hold. Weights, names and numbers stay.
    """
    for module in network.modules():
        if type(module) is LeWinTransformerBlock:
            module.__class__ = WindowBlock


class WindowBlock(LeWinTransformerBlock):
    """Attention in windows, every second block's shifted by half of one, then a feed-forward part; B×N×C of a square
    map to the same."""

    def forward(self, x_BNC: Tensor, mask: None = None) -> Tensor:
        assert mask is None, "nothing here gives a mask of its own"
        side, shift, window = isqrt(x_BNC.shape[1]), self.shift_size, self.win_size
        if self.cross_modulator is not None:
            x_BNC = x_BNC + self.cross_attn(x_BNC, self.cross_modulator.weight)
        x_BHWC = self.norm1(x_BNC).unflatten(1, (side, side))
        silence_VPP: Tensor | None = None
        if shift:
            x_BHWC = x_BHWC.roll((-shift, -shift), (1, 2))
            silence_VPP = shift_mask(side, window, shift, like=x_BNC)
        windows = window_partition(x_BHWC, window).flatten(1, 2)
        if self.modulator is not None:
            windows = windows + self.modulator.weight
        attended = self.attn(windows, mask=silence_VPP).unflatten(1, (window, window))
        x_BHWC = window_reverse(attended, window, side, side)
        if shift:
            x_BHWC = x_BHWC.roll((shift, shift), (1, 2))
        x_BNC = x_BNC + self.drop_path(x_BHWC.flatten(1, 2))
        result: Tensor = x_BNC + self.drop_path(self.mlp(self.norm2(x_BNC)))
        return result


def shift_mask(side: int, window: int, shift: int, like: Tensor) -> Tensor:
    """V×P×P: zero between positions of one window that are neighbours in the map, SILENCE between others.

    The last window of a row or column holds what was shifted out at its other end.
    """
    places = torch.arange(side, device=like.device)
    part = (places >= side - window).to(like.dtype) + (places >= side - shift).to(like.dtype)
    parts_VP = window_partition((3 * part[:, None] + part)[None, :, :, None], window).flatten(1)
    apart_VPP = parts_VP[:, None] != parts_VP[:, :, None]
    return torch.zeros_like(apart_VPP, dtype=like.dtype).masked_fill(apart_VPP, SILENCE)
