"""Supervision of the mask that SPAIR finds degraded pixels with: K. Purohit et al., ICCV 2021, arXiv 2108.08617."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Share
from harness.parts.losses.outputs import output_of, truth_of, zero_like


class SpairMask(nn.Module):
    """Cross-entropy of the network's mask (logits) with where the degraded image differs from the truth.

    A pixel is degraded where |degraded − truth| is above `threshold`: in each channel for a mask of as many channels,
    in the channel that differs most for a mask of one. A smaller mask is compared with the largest difference of each
    of its cells. The default threshold is ours. Zero on a refined image: the mask is F's.

    Raises HarnessError for a network without a mask.
    """

    traits = LossTraits(takes="inputs")

    def __init__(self, *, threshold: Share = 0.1) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar, the mean over the pixels, not negative."""
        if inputs.refined:
            return zero_like(inputs)
        logits: Tensor = output_of(inputs, "mask", loss="spair_mask", network="spair")
        difference = (inputs.lq_BCHW - truth_of(inputs, loss="spair_mask")).abs()
        if logits.shape[1] == 1:
            difference = difference.amax(1, keepdim=True)
        if logits.shape[-2:] != difference.shape[-2:]:
            difference = F.adaptive_max_pool2d(difference, logits.shape[-2:])
        return F.binary_cross_entropy_with_logits(logits, (difference > self.threshold).to(logits.dtype))
