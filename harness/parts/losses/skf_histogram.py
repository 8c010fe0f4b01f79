"""SKF's semantic-guided colour histogram loss: Y. Wu et al., CVPR 2023, arXiv 2304.07039 (section 3.3).

Shape letters: B batch, K classes, H×W image, N pixels of one class, 3 colour channels, b bins, E their edges.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Steps
from harness.parts.losses.outputs import truth_of
from harness.parts.losses.skf_classes import class_probabilities

BINS = 256
SLOPE = 400.0
CHUNK = 1 << 14
"""Pixels whose bins are held at once: 50 MB for the three channels."""


class SKFHistogram(nn.Module):
    """Distance of the colour histograms of each class's pixels, restored and true.

    A pixel is of its likeliest class. For every image, class and channel a soft histogram of 256 bins on [0, 1]; mean
    |difference| over the bins, summed over channels and classes, divided by H·W, and averaged over images. This is the
    form that the authors use with SNR-Net; with DRBN they divide by 3·59 as well.

    `every`: at other steps the loss is zero (theirs with SNR-Net is 50, with the weight 10⁴ beside a Charbonnier that
    is summed; with DRBN it is 1). `classes`: whose pixels are segmented, the `truth`'s (with SNR-Net) or the
    `restored` image's (with DRBN). Raises HarnessError where nothing in the cell finds classes.
    """

    traits = LossTraits(takes="inputs")

    def __init__(self, *, every: Steps = 50, classes: Literal["truth", "restored"] = "truth") -> None:
        super().__init__()
        self.every = every
        self.classes = classes

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar; images in [0, 1], not clamped: what lies outside is in no bin."""
        restored_B3HW = inputs.restored_BCHW
        if inputs.step % self.every:
            return restored_B3HW.new_zeros(())
        truth_B3HW = truth_of(inputs, loss="skf_histogram")
        classes_BHW = class_probabilities(inputs, self.classes, "skf_histogram").argmax(1)
        distances = [
            (histogram(restored[:, mask]) - histogram(truth[:, mask])).abs().mean(1).sum()
            for restored, truth, classes in zip(restored_B3HW, truth_B3HW, classes_BHW, strict=True)
            for mask in (classes == number for number in classes.unique())
        ]
        return torch.stack(distances).sum() / classes_BHW.numel()


def histogram(values_3N: Tensor) -> Tensor:
    """Soft histograms of each channel, 3×256: bin b has Σ σ(400(x − b/256)) − σ(400(x − (b + 1)/256)) over pixels."""
    made: Tensor = _Histogram.apply(values_3N)
    return made


class _Histogram(torch.autograd.Function):
    """The bins of a chunk of pixels are made once more for the gradient: to keep them would take 257 times the image.

    (torch.utils.checkpoint does the same, but imports the compiler, which takes seconds.)
    """

    @staticmethod
    def forward(ctx: Any, values_3N: Tensor) -> Tensor:
        ctx.save_for_backward(values_3N)
        below = (_below(chunk) for chunk in values_3N.split(CHUNK, 1))
        return torch.stack([(below_3NE[..., :-1] - below_3NE[..., 1:]).sum(1) for below_3NE in below]).sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_3b: Tensor) -> Tensor:
        (values_3N,) = ctx.saved_tensors
        # An edge adds to the bin above it what it takes from the one below.
        gradient_3E = F.pad(gradient_3b, (1, 1)).diff()
        below = (_below(chunk) for chunk in values_3N.split(CHUNK, 1))
        slopes = (SLOPE * below_3NE * (1 - below_3NE) for below_3NE in below)
        return torch.cat([(slope_3NE @ gradient_3E[..., None]).squeeze(-1) for slope_3NE in slopes], 1)


def _below(values_3N: Tensor) -> Tensor:
    """How far each pixel is above each of the 257 edges of bins, 3×N×257 in [0, 1]."""
    edges_E = torch.arange(BINS + 1, device=values_3N.device, dtype=values_3N.dtype) / BINS
    return torch.sigmoid(SLOPE * (values_3N[..., None] - edges_E))
