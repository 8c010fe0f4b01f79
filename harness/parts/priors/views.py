"""How an image of any size is made to fit a network that sees one size, as open_clip does it.

Bicubic with antialiasing, in float and not in 8 bits; overshoot is cut back to [0, 1]. A square image is whole and not
distorted in every view, where the network's size is square.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

View = Literal["crop", "squash", "pad"]


def fit(image_BCHW: Tensor, size: tuple[int, int], view: View) -> Tensor:
    """RGB images in [0, 1] at the network's size (height, width), seen in one of three ways.

    - `crop`: shorter side to the network's, then the central crop (CLIP's own; open_clip's resize mode `shortest`).
    - `squash`: both sides to the network's, whatever the ratio (`squash`).
    - `pad`: longer side to the network's, then black on both sides of the shorter one (`longest`); of an odd number of
      lines the last one is below or on the right.
    """
    if view == "squash":
        return _resized(image_BCHW, *size)
    if view == "pad":
        return _padded(image_BCHW, size)
    height, width = image_BCHW.shape[-2:]
    grown = max(size[0], size[1] * height // width), max(size[1], size[0] * width // height)
    image_BCHW = _resized(image_BCHW, *grown)
    top, left = round((grown[0] - size[0]) / 2), round((grown[1] - size[1]) / 2)
    return image_BCHW[..., top : top + size[0], left : left + size[1]]


def _padded(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = image_BCHW.shape[-2:]
    ratio = max(height / size[0], width / size[1])
    inner = [max(1, min(goal, round(side / ratio))) for side, goal in zip((height, width), size, strict=True)]
    above, before = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    margins = before, size[1] - inner[1] - before, above, size[0] - inner[0] - above
    return F.pad(_resized(image_BCHW, *inner), margins)


def _resized(image_BCHW: Tensor, height: int, width: int) -> Tensor:
    if image_BCHW.shape[-2:] == torch.Size((height, width)):
        return image_BCHW
    size = (height, width)
    return F.interpolate(image_BCHW, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
