"""Supervision of the mask that SPAIR finds degraded pixels with: K. Purohit et al., ICCV 2021, arXiv 2108.08617."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.parts import Reads, View
from harness.parts.losses.made import made_by_network, truth_of, zero_like

VERSION = 1


class SpairMask(nn.Module):
    """Cross-entropy of the network's mask (logits) with where the degraded image differs from the truth.

    A pixel is degraded where |degraded − truth| is above `threshold`: in each channel for a mask of as many channels,
    in the channel that differs most for a mask of one. A smaller mask is compared with the largest difference of each
    of its cells. The default threshold is ours. Zero on a refined image: the mask is F's.

    Raises HarnessError for a network without a mask.
    """

    reads: ClassVar[Reads] = "pair"

    def __init__(self, *, threshold: float = 0.1) -> None:
        super().__init__()
        self.threshold = threshold

    def of(self, view: View) -> Tensor:
        """A scalar, the mean over the pixels, not negative."""
        if view.refined:
            return zero_like(view)
        logits: Tensor = made_by_network(view, "mask", loss="spair_mask", network="spair")
        difference = (view.lq_BCHW - truth_of(view, loss="spair_mask")).abs()
        if logits.shape[1] == 1:
            difference = difference.amax(1, keepdim=True)
        if logits.shape[-2:] != difference.shape[-2:]:
            difference = F.adaptive_max_pool2d(difference, logits.shape[-2:])
        return F.binary_cross_entropy_with_logits(logits, (difference > self.threshold).to(logits.dtype))
