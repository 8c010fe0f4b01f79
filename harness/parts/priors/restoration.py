"""Features of a restoration network that was trained on something else (the paper's prior `r`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import Capabilities
from harness.api.prior import PriorTraits
from harness.api.reference import CellRef
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import reflect_pad
from harness.parts.shared.taps import tapped


class Restoration:
    """One vector from a feature map of a trained backbone: each channel's mean and standard deviation over the image.

    The paper (arXiv 2403.06793, section 4) brings every prior to one dimension without saying how. The mean alone would
    drop how much a channel varies over the image, which is what texture and noise look like in such features, so both
    are kept, and the 2·C numbers are divided by their L2 norm.

    `source`: the cell that trains the network; the harness trains it first and gives the result as `network`, a module
    with a `backbone`. `tap`: one of the backbone's declared taps, or `deepest` for the last of them. Raises
    HarnessError for a network without such a tap.
    """

    traits = PriorTraits(any_channels=True)

    def __init__(self, network: Any, *, source: CellRef, tap: str = "deepest") -> None:
        backbone = network.backbone
        if not isinstance(backbone, nn.Module):
            raise HarnessError("the prior `restoration` needs a cell with a backbone", where=f"source {source}")
        self._capabilities: Capabilities = network.backbone.capabilities
        self._backbone = backbone.eval().requires_grad_(False)
        taps = self._capabilities.taps
        if not taps:
            raise HarnessError(
                f"{type(backbone).__name__} declares no taps to read features from", where=f"source {source}"
            )
        if tap != "deepest" and tap not in taps:
            raise HarnessError(
                f"{type(backbone).__name__} has no tap {tap!r}", hint=f"taps: deepest, {', '.join(taps)}"
            )
        self._tap = taps[-1] if tap == "deepest" else tap
        side = self._capabilities.fitting(16)
        device = next(backbone.parameters()).device
        self.dim = self.encode(torch.zeros(1, self._capabilities.channels_in, side, side, device=device)).shape[1]

    @torch.no_grad()
    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """Images of any size, with the channels that the network reads, to B×2C float32, L2-normalised.

        They are not clamped: the network learned on such input.
        """
        self._backbone.to(lq_BCHW.device)
        with tapped(self._backbone, self._tap) as features:
            self._backbone(_pad(lq_BCHW.float(), self._capabilities))
        map_BCN = features[-1].float().flatten(2)
        spread_BC = map_BCN.std(dim=2, correction=0)
        return F.normalize(torch.cat([map_BCN.mean(dim=2), spread_BC], dim=1), dim=1)


def _pad(image_BCHW: Tensor, can: Capabilities) -> Tensor:
    """Grown by reflection until the network takes both sides."""
    height, width = (can.fitting(side) for side in image_BCHW.shape[-2:])
    return reflect_pad(image_BCHW, height, width)
