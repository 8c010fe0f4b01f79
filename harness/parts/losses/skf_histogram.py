"""SKF's semantic-guided colour histogram loss: Y. Wu et al., CVPR 2023, arXiv 2304.07039 (section 3.3).

Shape letters: B batch, K classes, H×W image, N pixels, 3 colour channels, b bins, E their edges.
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
        probabilities_BKHW = class_probabilities(inputs, self.classes, "skf_histogram")
        classes_BN, K = probabilities_BKHW.argmax(1).flatten(1), probabilities_BKHW.shape[1]
        distances = [
            (histograms(restored, classes, K) - histograms(truth, classes, K)).abs().mean(-1).sum()
            for restored, truth, classes in zip(
                restored_B3HW.flatten(2), truth_B3HW.flatten(2), classes_BN, strict=True
            )
        ]
        return torch.stack(distances).sum() / classes_BN.numel()


def histograms(values_3N: Tensor, classes_N: Tensor, classes: int) -> Tensor:
    """Soft histograms of each channel of the pixels of each of K classes, 3×K×256.

    Bin b has Σ σ(400(x − b/256)) − σ(400(x − (b + 1)/256)) over the pixels.
    """
    made: Tensor = _Histograms.apply(values_3N, classes_N, classes)
    return made


class _Histograms(torch.autograd.Function):
    """The bins of a chunk of pixels are made once more for the gradient: to keep them would take 257 times the image.

    (torch.utils.checkpoint does the same, but imports the compiler, which takes seconds.) Pixels are summed by a
    product with the classes' masks: for how many pixels a class has, a GPU would be waited for.
    """

    @staticmethod
    def forward(ctx: Any, values_3N: Tensor, classes_N: Tensor, classes: int) -> Tensor:
        ctx.save_for_backward(values_3N, classes_N)
        numbers_K1 = torch.arange(classes, device=classes_N.device)[:, None]
        total_3Kb = values_3N.new_zeros(len(values_3N), classes, BINS)
        for chunk_3N, of_N in zip(values_3N.split(CHUNK, 1), classes_N.split(CHUNK), strict=True):
            below_3NE = _below(chunk_3N)
            total_3Kb += (of_N == numbers_K1).to(below_3NE.dtype) @ (below_3NE[..., :-1] - below_3NE[..., 1:])
        return total_3Kb

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_3Kb: Tensor) -> tuple[Tensor, None, None]:
        values_3N, classes_N = ctx.saved_tensors
        # An edge adds to the bin above it what it takes from the one below.
        gradient_3KE = F.pad(gradient_3Kb, (1, 1)).diff()
        found = []
        for chunk_3N, of_N in zip(values_3N.split(CHUNK, 1), classes_N.split(CHUNK), strict=True):
            below_3NE = _below(chunk_3N)
            found.append((SLOPE * below_3NE * (1 - below_3NE) * gradient_3KE[:, of_N]).sum(-1))
        return torch.cat(found, 1), None, None


def _below(values_3N: Tensor) -> Tensor:
    """How far each pixel is above each of the 257 edges of bins, 3×N×257 in [0, 1]."""
    edges_E = torch.arange(BINS + 1, device=values_3N.device, dtype=values_3N.dtype) / BINS
    return torch.sigmoid(SLOPE * (values_3N[..., None] - edges_E))
