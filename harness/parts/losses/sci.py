"""What SCI is trained with, without any truth: L. Ma et al., CVPR 2022, arXiv 2204.10137, section 2.3.

Our own code, from the authors' training (github.com/tengyu1998/SCI, loss.py and model.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Weight
from harness.parts.losses.illumination import Colours, implied_illumination, smoothness
from harness.parts.losses.outputs import output_of


class SCILoss(nn.Module):
    """`fidelity` · MSE(illumination, input) + the illumination's smoothness, summed over the stages of the cascade.

    Each stage has an input of its own; the authors train three. A network without the cascade (option `stage` left
    out) has the one stage of use, and trains on it alone, without calibration. For a refined image there is one
    stage too, with the illumination that it implies, degraded image / Ī in [0.001, 1].

    Raises HarnessError for a network without illuminations.
    """

    traits = LossTraits(takes="inputs", reads="degraded", version=2)

    def __init__(self, *, fidelity: Weight = 1.5) -> None:
        super().__init__()
        self.fidelity = fidelity
        self._colours = Colours()

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        if inputs.refined:
            return self._stage(inputs.lq_BCHW, implied_illumination(inputs.lq_BCHW, inputs.restored_BCHW))
        entries = output_of(inputs, "inputs", loss="sci", network="sci")
        illuminations = output_of(inputs, "illuminations", loss="sci", network="sci")
        return torch.stack([self._stage(*stage) for stage in zip(entries, illuminations, strict=True)]).sum()

    def _stage(self, input_BCHW: Tensor, illumination_BCHW: Tensor) -> Tensor:
        distance = F.mse_loss(illumination_BCHW, input_BCHW)
        return self.fidelity * distance + smoothness(self._colours(input_BCHW), illumination_BCHW)
