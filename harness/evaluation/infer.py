"""Restoration of whole images by networks that accept only certain sizes.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from harness.api.backbone import Capabilities
from harness.models.assemble import RestorationModel
from harness.parts.shared.blocks import reflect_pad

OVERLAP = 4
"""Tiles overlap by 1/OVERLAP of their side."""


@torch.inference_mode()
def restore(
    model: RestorationModel, lq_HWC: np.ndarray, prior_D: np.ndarray | None, device: torch.device
) -> np.ndarray:
    """The restored image, H×W×C float32, not clipped, of a degraded one, H×W×C float32. `model` is in evaluation mode.

    Where the network needs it, the image is padded by reflection on the right and below, and the result cut back.
    Images larger than the declared tile are restored in overlapping tiles; each gets the whole image's prior vector.
    """
    lq_BCHW = torch.from_numpy(np.ascontiguousarray(lq_HWC.transpose(2, 0, 1)[None])).to(device)
    prior_BD = None if prior_D is None else torch.from_numpy(np.array(prior_D)[None]).to(device)
    capabilities = model.capabilities
    tile = _tile_side(capabilities)
    height, width = lq_BCHW.shape[-2:]
    if tile is None or max(height, width) <= tile:
        restored = _restore_padded(model, lq_BCHW, prior_BD, capabilities)
    else:
        restored = _restore_tiled(model, lq_BCHW, prior_BD, capabilities, tile)
    return np.ascontiguousarray(restored[0].float().cpu().numpy().transpose(1, 2, 0))


def _restore_padded(
    model: RestorationModel, lq_BCHW: Tensor, prior_BD: Tensor | None, capabilities: Capabilities
) -> Tensor:
    height, width = lq_BCHW.shape[-2:]
    goal = capabilities.fitting(height), capabilities.fitting(width)
    # An image that fits is never padded: one more multiple of padding would change the results of published networks.
    restored: Tensor = model(reflect_pad(lq_BCHW, *goal), prior_BD).final
    return restored[..., :height, :width]


def _restore_tiled(
    model: RestorationModel, lq_BCHW: Tensor, prior_BD: Tensor | None, capabilities: Capabilities, tile: int
) -> Tensor:
    height, width = lq_BCHW.shape[-2:]
    total = lq_BCHW.new_zeros(lq_BCHW.shape[0], capabilities.channels_out, height, width)
    weights = lq_BCHW.new_zeros(1, 1, height, width)
    for top, left in product(tile_starts(height, tile), tile_starts(width, tile)):
        place = (..., slice(top, top + tile), slice(left, left + tile))
        restored = _restore_padded(model, lq_BCHW[place], prior_BD, capabilities)
        rows, columns = restored.shape[-2:]
        window = _ramp(rows, tile, lq_BCHW)[:, None] * _ramp(columns, tile, lq_BCHW)
        total[place] += restored * window
        weights[place] += window
    return total / weights


def tile_starts(side: int, tile: int) -> list[int]:
    """First pixels of overlapping tiles that cover a side; the last tile ends where the side ends."""
    if side <= tile:
        return [0]
    return [*range(0, side - tile, tile - tile // OVERLAP), side - tile]


def _ramp(side: int, tile: int, like: Tensor) -> Tensor:
    """Blending weights of a tile along one side: they rise over the overlap at both ends and are never zero."""
    distance = torch.arange(1, side + 1, dtype=like.dtype, device=like.device)
    return torch.minimum(distance, distance.flip(0)).clamp(max=tile // OVERLAP)


def _tile_side(capabilities: Capabilities) -> int | None:
    """The side of the declared tile, raised to the next allowed size; None without tiles."""
    return None if capabilities.tile is None else capabilities.fitting(capabilities.tile)
