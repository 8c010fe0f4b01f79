"""What RUAS is trained with, without any truth: R. Liu et al., CVPR 2021, arXiv 2012.05609.

Our own code, from the authors' training (github.com/KarelZhang/RUAS, model.py).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Steps, Weight
from harness.parts.losses.illumination import Colours, implied_illumination, parted_smoothness
from harness.parts.losses.outputs import output_of, zero_like
from harness.parts.losses.tv import total_variation


class RUASLoss(nn.Module):
    """`fidelity` · MSE(illumination, image) + its smoothness, and a loss of the denoiser.

    The illumination is that of the last iteration. For a refined image it is the one that the image implies, degraded
    image / Ī in [0.001, 1]: the same loss in the only sense it has there.

    The denoiser's loss is `noise_fidelity` · MSE(its result, its input) + the result's total variation, on every
    `every`th step alone. The authors' fidelity is 1e-7, for a denoiser that was trained before on other data; from
    scratch that one flattens its images, and the default of 1 does not.

    They also give the denoiser an SGD of its own at 1/15 of the other learning rate, which a recipe's `rates` set, and
    clip its gradient apart from the other network's; here the two are clipped together. `denoiser` weighs its loss.
    This loss does not reach the illumination, since the network's `outputs` denoise a detached image.

    Raises HarnessError for a network without illuminations.
    """

    traits = LossTraits(takes="inputs", reads="degraded", version=2)

    def __init__(
        self,
        *,
        fidelity: Weight = 0.5,
        noise_fidelity: Weight = 1.0,
        denoiser: Weight = 1.0,
        every: Steps = 50,
    ) -> None:
        super().__init__()
        self.fidelity = fidelity
        self.noise_fidelity = noise_fidelity
        self.denoiser = denoiser
        self.every = every
        self._colours = Colours()

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        image, illumination = inputs.lq_BCHW, _illumination(inputs)
        total = self.fidelity * F.mse_loss(illumination, image) + parted_smoothness(self._colours(image), illumination)
        return total + self.denoiser * self._noise(inputs)

    def _noise(self, inputs: LossInputs) -> Tensor:
        if inputs.refined or inputs.step % self.every:
            # Not zero times a loss: where no gradient comes, the optimizer leaves all as it is.
            return zero_like(inputs)
        enhanced = output_of(inputs, "enhanced", loss="ruas", network="ruas")
        if len(enhanced) == len(inputs.outputs["illuminations"]):
            return zero_like(inputs)  # a network without its denoiser
        *_, noisy, clean = enhanced
        return self.noise_fidelity * F.mse_loss(clean, noisy.detach()) + total_variation(clean)


def _illumination(inputs: LossInputs) -> Tensor:
    if inputs.refined:
        return implied_illumination(inputs.lq_BCHW, inputs.restored_BCHW)
    *_, last = output_of(inputs, "illuminations", loss="ruas", network="ruas")
    return last
