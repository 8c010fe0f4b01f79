"""What Zero-DCE is trained with, without any truth: C. Guo et al., CVPR 2020, arXiv 2001.06826, section 3.3.

Our own code, from the paper and a description of the authors' training. The paper and that training differ; this is
the training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Pixels, Share, Weight
from harness.parts.losses.outputs import output_of, zero_like
from harness.parts.losses.tv import total_variation

REGION = 4
"""Side of the regions whose contrast is kept."""


class ZeroDCELoss(nn.Module):
    """Weighted sum of four terms:

    - `smoothness`: total variation of the curves, summed over their maps (eq. 8);
    - `spatial`: the contrast between neighbouring regions stays (eq. 5, `spatial_consistency`);
    - `colour`: the three channels have one mean (eq. 7, the square root of the summed fourth powers);
    - `exposure`: regions of `region`×`region` pixels have the grey `level` (eq. 6, squared).

    On a refined image the curves' term is zero: they are F's alone, and counted with Î. Raises HarnessError for a
    network that makes no curves.
    """

    traits = LossTraits(takes="inputs", reads="degraded")

    def __init__(
        self,
        *,
        smoothness: Weight = 200.0,
        spatial: Weight = 1.0,
        colour: Weight = 5.0,
        exposure: Weight = 10.0,
        level: Share = 0.6,
        region: Pixels = 16,
    ) -> None:
        super().__init__()
        self.smoothness = smoothness
        self.spatial = spatial
        self.colour = colour
        self.exposure = exposure
        self.level = level
        self.region = region

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        image = inputs.restored_BCHW
        return (
            self.smoothness * _curves_variation(inputs)
            + self.spatial * spatial_consistency(image, inputs.lq_BCHW)
            + self.colour * colour_cast(image)
            + self.exposure * exposure_error(image, self.level, self.region)
        )


def _curves_variation(inputs: LossInputs) -> Tensor:
    if inputs.refined:
        return zero_like(inputs)
    curves_BCHW: Tensor = output_of(inputs, "curves", loss="zero_dce", network="zero_dce")
    return curves_BCHW.shape[1] * total_variation(curves_BCHW)


def spatial_consistency(first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
    """Squared change of the difference between each 4×4 region's grey and its four neighbours', summed over these.

    Averaged over the regions. Beyond the border lies zero, as in the authors' training: border regions keep their grey
    itself.
    """
    change_B1HW = regional_grey(first_BCHW - second_BCHW, REGION)
    padded = F.pad(change_B1HW, (1, 1, 1, 1))
    neighbours = (padded[..., 1:-1, :-2], padded[..., 1:-1, 2:], padded[..., :-2, 1:-1], padded[..., 2:, 1:-1])
    return torch.stack([(change_B1HW - neighbour).square() for neighbour in neighbours]).sum(0).mean()


def colour_cast(image_BCHW: Tensor) -> Tensor:
    """Distance of the channels' means from each other, averaged over the images."""
    red_B, green_B, blue_B = image_BCHW.mean((2, 3)).unbind(1)
    squares = torch.stack([red_B - green_B, red_B - blue_B, green_B - blue_B]).square()
    # A norm, and not a square root of a sum: its gradient at zero, that of a grey image, is zero.
    return torch.linalg.vector_norm(squares, dim=0).mean()


def exposure_error(image_BCHW: Tensor, level: float, region: int) -> Tensor:
    """Mean squared distance of the regions' grey from a level."""
    return (regional_grey(image_BCHW, region) - level).square().mean()


def regional_grey(image_BCHW: Tensor, side: int) -> Tensor:
    """Mean over the channels and over regions of `side`×`side` pixels, B×1×H/side×W/side.

    Pixels at the border that fill no region are left out. An image smaller than a region is one region.
    """
    height, width = image_BCHW.shape[-2:]
    return F.avg_pool2d(image_BCHW.mean(1, keepdim=True), (min(side, height), min(side, width)))
