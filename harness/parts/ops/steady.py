"""Operations whose gradients a GPU computes the same way every time, where `run.deterministic` asks for that.

torch refuses its own then: they add in whatever order threads come. These add in one order, to rounding the same, and
take longer. Elsewhere torch's own run.

Shape letters: B batch, C channels, H×W image, h×w the same resized.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def wanted(x: Tensor) -> bool:
    """Whether a tensor's gradients are to be the same every time, and its device would not see to that by itself."""
    return not x.is_cpu and torch.are_deterministic_algorithms_enabled()


class ReflectionPad2d(nn.ReflectionPad2d):
    """torch's, for maps: borders mirrored without repeating the edge."""

    def forward(self, input: Tensor) -> Tensor:
        if not wanted(input):
            return super().forward(input)
        left, right, top, bottom = self.padding
        return _mirrored(_mirrored(input, left, right, -1), top, bottom, -2)


def _mirrored(x: Tensor, before: int, after: int, axis: int) -> Tensor:
    last = x.shape[axis] - 1
    first_part, last_part = x.narrow(axis, 1, before), x.narrow(axis, last - after, after)
    return torch.cat([first_part.flip(axis), x, last_part.flip(axis)], axis)


def resized(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """B×C×H×W to B×C×h×w, bilinear and antialiased, corners not aligned."""
    if not wanted(image_BCHW):
        return F.interpolate(image_BCHW, size=size, mode="bilinear", antialias=True, align_corners=False)
    rows_hH, columns_wW = (_weights(old, new, image_BCHW) for old, new in zip(image_BCHW.shape[-2:], size, strict=True))
    return rows_hH @ image_BCHW @ columns_wW.T


def _weights(old: int, new: int, like: Tensor) -> Tensor:
    """new×old: what each of the new pixels of a line takes of the old ones."""
    unit_11oo = torch.eye(old, device=like.device, dtype=like.dtype)[None, None]
    return F.interpolate(unit_11oo, size=(new, old), mode="bilinear", antialias=True, align_corners=False)[0, 0]
