"""Restoration of whole images by networks that accept only certain sizes.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from harness.api.backbone import Capabilities
from harness.api.task import Sides
from harness.core.beat import beat
from harness.core.errors import HarnessError
from harness.evaluation.busy import at_work
from harness.models.assemble import RestorationModel
from harness.models.maps import part_of_map
from harness.parts.shared.blocks import reflect_pad

OVERLAP = 4
"""Tiles overlap by 1/OVERLAP of their side."""


class Seen(NamedTuple):
    """What a network gets of one image."""

    lq_HWC: np.ndarray
    """float32, white at 1."""
    prior_D: np.ndarray | None = None
    truth_HWC: np.ndarray | None = None
    """Shown only to a network that reads the truth in test."""


def restore(
    model: RestorationModel,
    lq_HWC: np.ndarray,
    prior_D: np.ndarray | None,
    device: torch.device,
    truth_HWC: np.ndarray | None = None,
    settings: Mapping[str, float] | None = None,
    through: Sides | None = None,
) -> np.ndarray:
    """The restored image, H×W×C float32, not clipped, of a degraded one, H×W×C float32: `restore_together` of one."""
    restored_BHWC = restore_together(model, [Seen(lq_HWC, prior_D, truth_HWC)], device, settings, through)
    return np.ascontiguousarray(restored_BHWC[0].cpu().numpy())


@torch.no_grad()  # not inference mode, whose tensors do not tell that a part has changed them in place
def restore_together(
    model: RestorationModel,
    images: Sequence[Seen],
    device: torch.device,
    settings: Mapping[str, float] | None = None,
    through: Sides | None = None,
) -> Tensor:
    """The restored images, B×H×W×C float32 on the device, not clipped, of images of one size. `model` is in evaluation
    mode.

    Degraded and restored images have as many channels as the network reads and gives; HarnessError for other degraded
    ones. Where the network needs it, images are padded by reflection on the right and below, and the result cut back.
    Images larger than the declared tile are restored in overlapping tiles; each gets the whole image's prior vector, or
    its part of the prior's map. HarnessError when the truth is missing where the network reads it in
    test. `settings`: what the images were made with, such as their noise level, for
    a network that is told. `through`: height and width to which images are resized for the network, and from which
    the result is resized back, bilinearly; a network that is guided by a map of its input gets the map of the image
    before it was resized, resized as well.
    """
    can, first = model.capabilities, images[0]
    if first.lq_HWC.shape[2] != can.channels_in:
        what = f"the network reads images of {can.channels_in} channels, and this one has {first.lq_HWC.shape[2]}"
        raise HarnessError(what, hint="a test set like the training set")
    truth_BCHW: Tensor | None = None
    with at_work(device):
        if model.reads_truth_at_test:
            truths = [image.truth_HWC for image in images if image.truth_HWC is not None]
            if len(truths) < len(images):
                raise HarnessError("this network reads the truth in test, and there is none")
            truth_BCHW = _batch_of(truths, device)
        whole_BCHW = _batch_of([image.lq_HWC for image in images], device)
        lq_BCHW = _resized(whole_BCHW, through)
        guide_BCHW = None
        if through is not None:
            truth_BCHW = None if truth_BCHW is None else _resized(truth_BCHW, through)
            guide_BCHW = model.guide(whole_BCHW)
            guide_BCHW = None if guide_BCHW is None else _resized(guide_BCHW, through)
        height, width = lq_BCHW.shape[-2:]
        rows = [image.prior_D for image in images if image.prior_D is not None]
        prior_BD = torch.from_numpy(np.stack(rows)).to(device) if rows else None
        given = _Given(model, prior_BD, truth_BCHW, _told(settings, len(images), device), (height, width), guide_BCHW)
        tile = tile_side(can)
        if tile is None or max(height, width) <= tile:
            restored = _restore_padded(given, lq_BCHW, 0, 0)
        else:
            restored = _restore_tiled(given, lq_BCHW, tile)
        restored = _resized(restored.float(), first.lq_HWC.shape[:2] if through else None)
        return restored.permute(0, 2, 3, 1).contiguous()


@dataclass(frozen=True)
class _Given:
    """The network, and what it gets of images of one size beside their pixels."""

    model: RestorationModel
    prior_BD: Tensor | None
    truth_BCHW: Tensor | None
    """The whole truth, for a network that reads it."""
    settings: Mapping[str, Tensor] | None
    sides: tuple[int, int]
    """Height and width of the whole images."""
    guide_BCHW: Tensor | None = None
    """The map that guides the network, where it is not that of the pixels it gets."""


def _resized(image_BCHW: Tensor, sides: Sides | None) -> Tensor:
    if sides is None or tuple(image_BCHW.shape[-2:]) == tuple(sides):
        return image_BCHW
    return interpolate(image_BCHW, size=tuple(sides), mode="bilinear", align_corners=False)


def _batch_of(images_HWC: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Images of one size, B×C×H×W on the device."""
    if device.type == "cuda":  # which puts the channels first in less time than the host
        return torch.from_numpy(np.stack(images_HWC)).to(device).permute(0, 3, 1, 2).contiguous()
    stacked_BHWC = images_HWC[0][None] if len(images_HWC) == 1 else np.stack(images_HWC)
    return torch.from_numpy(np.ascontiguousarray(stacked_BHWC.transpose(0, 3, 1, 2))).to(device)


def _told(settings: Mapping[str, float] | None, images: int, device: torch.device) -> dict[str, Tensor] | None:
    if settings is None:
        return None
    return {name: torch.full((images,), value, dtype=torch.float32, device=device) for name, value in settings.items()}


def _restore_padded(given: _Given, lq_BCHW: Tensor, top: int, left: int) -> Tensor:
    """The restoration of the pixels from (top, left) of the whole images on."""
    model, prior_BD = given.model, given.prior_BD
    height, width = lq_BCHW.shape[-2:]
    goal = model.capabilities.fitting(height), model.capabilities.fitting(width)
    if prior_BD is not None and model.prior_shape is not None:
        place = top, left, *given.sides
        prior_BD = part_of_map(prior_BD.unflatten(1, model.prior_shape), goal, place).flatten(1)
    # An image that fits is never padded: one more multiple of padding would change the results of published networks.
    truth_BCHW = given.truth_BCHW
    if truth_BCHW is not None:
        truth_BCHW = reflect_pad(truth_BCHW[..., top : top + height, left : left + width], *goal)
    guide_BCHW = given.guide_BCHW
    if guide_BCHW is not None:
        guide_BCHW = reflect_pad(guide_BCHW[..., top : top + height, left : left + width], *goal)
    restored: Tensor = model(reflect_pad(lq_BCHW, *goal), prior_BD, truth_BCHW, given.settings, guide_BCHW).final
    return restored[..., :height, :width]


def _restore_tiled(given: _Given, lq_BCHW: Tensor, tile: int) -> Tensor:
    height, width = given.sides
    total = lq_BCHW.new_zeros(lq_BCHW.shape[0], given.model.capabilities.channels_out, height, width)
    weights = lq_BCHW.new_zeros(1, 1, height, width)
    for top, left in product(tile_starts(height, tile), tile_starts(width, tile)):
        beat()
        place = (..., slice(top, top + tile), slice(left, left + tile))
        restored = _restore_padded(given, lq_BCHW[place], top, left)
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


def tile_side(capabilities: Capabilities) -> int | None:
    """The side of the declared tile, raised to the next allowed size; None without tiles."""
    return None if capabilities.tile is None else capabilities.fitting(capabilities.tile)
