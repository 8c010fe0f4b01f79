"""What SMG's structure network is trained on: the edges of the truth (arXiv 2305.05839).

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Weight
from harness.core.errors import HarnessError
from harness.parts.losses.outputs import truth_of

SPREAD = 0.33
"""Canny's two thresholds lie this share below and above the median grey value."""


class SMGStructure(nn.Module):
    """Balanced cross-entropy of an edge map with the edges of the truth, each image balanced on its own.

    Positions with an edge weigh as the share of those without, those without `negatives` times the share of those with;
    then the mean over positions and images. The authors' batches have one image per process, so theirs is balanced
    likewise.
    """

    traits = LossTraits(takes="inputs")

    def __init__(self, *, negatives: Weight = 1.1) -> None:
        super().__init__()
        self.negatives = negatives

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar ≥ 0, of the map that the refiner made. Raises HarnessError where it makes none."""
        wished_B1HW = edges(truth_of(inputs, loss="smg_structure"))
        return balanced_cross_entropy(structure_of(inputs), wished_B1HW, self.negatives)


def balanced_cross_entropy(map_B1HW: Tensor, edges_B1HW: Tensor, negatives: float) -> Tensor:
    """Of a map in [0, 1] and one of zeros and ones, to a scalar."""
    share_B111 = edges_B1HW.mean((1, 2, 3), keepdim=True)
    weights_B1HW = edges_B1HW * (1 - share_B111) + (1 - edges_B1HW) * negatives * share_B111
    return F.binary_cross_entropy(map_B1HW, edges_B1HW, weight=weights_B1HW)


def edges(image_BCHW: Tensor) -> Tensor:
    """RGB images in [0, 1] to their edges, B×1×H×W, zero or one.

    Grey, in 8 bits; Gaussian blur 3×3; Canny between 0.67 and 1.33 of the median; widened by one pixel. The authors
    find them in the whole image before it is cut, so that there the median is the image's and not the tile's.
    """
    pixels_BHWC = image_BCHW.detach().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    found_BHW = np.stack([_edges(pixels_HWC) for pixels_HWC in pixels_BHWC])
    return torch.from_numpy(found_BHW)[:, None].to(image_BCHW.device, torch.float32)


def _edges(pixels_HWC: np.ndarray) -> np.ndarray:
    grey_HW = cv2.GaussianBlur(cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY), (3, 3), 0)
    median = float(np.median(grey_HW))
    low, high = int((1 - SPREAD) * median), int(min(255, (1 + SPREAD) * median))
    wide_HW: np.ndarray = cv2.dilate(cv2.Canny(grey_HW, low, high), np.ones((3, 3), np.uint8))
    return wide_HW > 0


def structure_of(inputs: LossInputs) -> Tensor:
    """The map B×1×H×W in [0, 1] that SMG made. Raises HarnessError where there is none."""
    if "structure" not in inputs.outputs:
        raise HarnessError(
            "the losses of SMG look at a map of structure, and the network makes none",
            hint="name them with refiner smg alone, which adds them by itself",
        )
    map_B1HW: Tensor = inputs.outputs["structure"]
    return map_B1HW
