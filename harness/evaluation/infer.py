"""Restoration of whole images by networks that accept only certain sizes.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import Capabilities
from harness.core.errors import HarnessError
from harness.models.assemble import RestorationModel
from harness.parts.shared.blocks import reflect_pad

OVERLAP = 4
"""Tiles overlap by 1/OVERLAP of their side."""


@torch.no_grad()  # not inference mode, whose tensors do not tell that a part has changed them in place
def restore(
    model: RestorationModel,
    lq_HWC: np.ndarray,
    prior_D: np.ndarray | None,
    device: torch.device,
    truth_HWC: np.ndarray | None = None,
) -> np.ndarray:
    """The restored image, H×W×C float32, not clipped, of a degraded one, H×W×C float32. `model` is in evaluation mode.

    Where the network needs it, the image is padded by reflection on the right and below, and the result cut back.
    Images larger than the declared tile are restored in overlapping tiles; each gets the whole image's prior vector, or
    its part of the prior's map. `truth_HWC` is shown only to a network that reads the truth in
    test; HarnessError when it is missing there.
    """
    lq_BCHW = _batch_of(lq_HWC, device)
    truth_BCHW: Tensor | None = None
    if model.reads_truth_at_test:
        if truth_HWC is None:
            raise HarnessError("this network reads the truth in test, and there is none")
        truth_BCHW = _batch_of(truth_HWC, device)
    prior_BD = None if prior_D is None else torch.from_numpy(np.array(prior_D)[None]).to(device)
    capabilities = model.capabilities
    tile = _tile_side(capabilities)
    height, width = lq_BCHW.shape[-2:]
    if tile is None or max(height, width) <= tile:
        restored = _restore_padded(model, lq_BCHW, prior_BD, capabilities, (0, 0, height, width), truth_BCHW)
    else:
        restored = _restore_tiled(model, lq_BCHW, prior_BD, capabilities, tile, truth_BCHW)
    return np.ascontiguousarray(restored[0].float().cpu().numpy().transpose(1, 2, 0))


def _batch_of(image_HWC: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image_HWC.transpose(2, 0, 1)[None])).to(device)


def _restore_padded(
    model: RestorationModel,
    lq_BCHW: Tensor,
    prior_BD: Tensor | None,
    capabilities: Capabilities,
    place: tuple[int, int, int, int],
    truth_BCHW: Tensor | None,
) -> Tensor:
    """`place`: top, left, height and width, where the first two are the pixels' and the last two the whole image's.
    `truth_BCHW`: the whole truth, for a network that reads it.
    """
    height, width = lq_BCHW.shape[-2:]
    goal = capabilities.fitting(height), capabilities.fitting(width)
    if prior_BD is not None and model.prior_shape is not None:
        prior_BD = _part_of_map(prior_BD.unflatten(1, model.prior_shape), goal, place).flatten(1)
    # An image that fits is never padded: one more multiple of padding would change the results of published networks.
    shown: list[Tensor] = []
    if truth_BCHW is not None:
        top, left = place[:2]
        shown.append(reflect_pad(truth_BCHW[..., top : top + height, left : left + width], *goal))
    restored: Tensor = model(reflect_pad(lq_BCHW, *goal), prior_BD, *shown).final
    return restored[..., :height, :width]


def _restore_tiled(
    model: RestorationModel,
    lq_BCHW: Tensor,
    prior_BD: Tensor | None,
    capabilities: Capabilities,
    tile: int,
    truth_BCHW: Tensor | None,
) -> Tensor:
    height, width = lq_BCHW.shape[-2:]
    total = lq_BCHW.new_zeros(lq_BCHW.shape[0], capabilities.channels_out, height, width)
    weights = lq_BCHW.new_zeros(1, 1, height, width)
    for top, left in product(tile_starts(height, tile), tile_starts(width, tile)):
        place = (..., slice(top, top + tile), slice(left, left + tile))
        within = (top, left, height, width)
        restored = _restore_padded(model, lq_BCHW[place], prior_BD, capabilities, within, truth_BCHW)
        rows, columns = restored.shape[-2:]
        window = _ramp(rows, tile, lq_BCHW)[:, None] * _ramp(columns, tile, lq_BCHW)
        total[place] += restored * window
        weights[place] += window
    return total / weights


def _part_of_map(map_BDhw: Tensor, sides: tuple[int, int], place: tuple[int, int, int, int]) -> Tensor:
    """The part of a map of the whole image that lies over `sides` pixels from (top, left) on, B×D×h×w again.

    Bilinear, the border's values beyond the border. `place`: top, left, and height and width of the whole image.
    """
    if place == (0, 0, *sides):
        return map_BDhw
    top, left, height, width = place
    rows, columns = (
        (2 * (start + (torch.arange(number, device=map_BDhw.device) + 0.5) * side / number) / whole - 1)
        for number, start, side, whole in zip(map_BDhw.shape[-2:], (top, left), sides, (height, width), strict=True)
    )
    grid_hw2 = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1).to(map_BDhw)
    grid_Bhw2 = grid_hw2.expand(len(map_BDhw), -1, -1, -1)
    return F.grid_sample(map_BDhw, grid_Bhw2, mode="bilinear", padding_mode="border", align_corners=False)


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
