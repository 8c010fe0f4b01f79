"""What the three stages of URetinex-Net are trained with: W. Wu et al., CVPR 2022, sections 3.2 to 3.4.

Our own code, from the paper and a description of the authors' training (of their later URetinex-Net++). An image I is
the product of a reflectance R (B×3×H×W) and an illumination L (B×1×H×W). A refiner trains in the last stage alone, so
the losses of the first two are zero on a refined image.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.parts.losses.outputs import output_of, truth_of, zero_like
from harness.parts.losses.ssim import similarity
from harness.parts.losses.tv import total_variation
from harness.parts.losses.zero_dce import spatial_consistency

DARKEST = 1e-3
"""Lowest illumination of the truth: black pixels have reflectance zero, and not none."""


class Decomposition(nn.Module):
    """Stage 1: L1(I, R·L) + `brightness` · MSE(L, largest channel of I), on the degraded image; it reads no truth."""

    traits = LossTraits(takes="inputs", reads="degraded")

    def __init__(self, *, brightness: float = 0.1) -> None:
        super().__init__()
        self.brightness = brightness

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        if inputs.refined:
            return zero_like(inputs)
        image = inputs.lq_BCHW
        reflectance, illumination = _output(inputs, "decomposed", "decomposition")
        distance = F.l1_loss(reflectance * illumination, image)
        return distance + self.brightness * F.mse_loss(illumination, image.amax(1, keepdim=True))


class Unfolding(nn.Module):
    """Stage 2: the rounds agree with themselves, and the last reflectance with the truth's.

    Σ over rounds t of (`gamma` + t·`r_offset`) · MSE(P, R) + (`lamda` + t·`l_offset`) · MSE(Q, L), then for the last
    round MSE(R, R_truth) + 1 − SSIM(R, R_truth) + `smoothness` · total variation of L. The four weights are options of
    the network too, and want to be the same there.

    R_truth is the truth divided by its largest channel. The authors take it from a second decomposition, trained on
    the truth: its loss is that of stage 1, whose minimum this is, with a smoother illumination. They also add a
    perceptual distance of R and R_truth, which needs weights and is left out here.
    """

    traits = LossTraits(takes="inputs")

    def __init__(
        self,
        *,
        gamma: float = 0.5,
        lamda: float = 0.5,
        r_offset: float = 0.05,
        l_offset: float = 0.05,
        smoothness: float = 20.0,
    ) -> None:
        super().__init__()
        self.gamma, self.lamda = gamma, lamda
        self.r_offset, self.l_offset = r_offset, l_offset
        self.smoothness = smoothness

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        if inputs.refined:
            return zero_like(inputs)
        total = zero_like(inputs)
        rounds = _output(inputs, "rounds", "unfolding")
        for t, (explained_R, explained_L, made_R, made_L) in enumerate(rounds):
            total = total + (self.gamma + t * self.r_offset) * F.mse_loss(explained_R, made_R)
            total = total + (self.lamda + t * self.l_offset) * F.mse_loss(explained_L, made_L)
        *_, reflectance, illumination = rounds[-1]
        wished = reflectance_of(truth_of(inputs, loss="uretinex_unfolding"))
        total = total + F.mse_loss(reflectance, wished) + 1 - similarity(reflectance, wished)
        return total + self.smoothness * total_variation(illumination)


class Adjustment(nn.Module):
    """Stage 3: MSE(restored, truth) + `structure` · L1 of the gradients of the illumination before and after
    + `spatial` · spatial consistency of the restored image and the truth (Zero-DCE's).

    On a refined image, all but the illuminations' term. The authors give the network in training the ratio of the
    truth's illumination; here it keeps the ratio of its options, which does not know the truth.
    """

    traits = LossTraits(takes="inputs")

    def __init__(self, *, structure: float = 1.0, spatial: float = 10.0) -> None:
        super().__init__()
        self.structure = structure
        self.spatial = spatial

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        restored, truth = inputs.restored_BCHW, truth_of(inputs, loss="uretinex_adjustment")
        total = F.mse_loss(restored, truth) + self.spatial * spatial_consistency(truth, restored)
        if inputs.refined:
            return total
        change = _output(inputs, "high_illumination", "adjustment") - _output(inputs, "illumination", "adjustment")
        down = (change[..., 1:, :] - change[..., :-1, :]).abs().mean()
        right = (change[..., 1:] - change[..., :-1]).abs().mean()
        return total + self.structure * (down + right)


def reflectance_of(image_BCHW: Tensor) -> Tensor:
    """The image divided by its largest channel, B×3×H×W in [0, 1]."""
    return image_BCHW / image_BCHW.amax(1, keepdim=True).clamp(min=DARKEST)


def _output(inputs: LossInputs, name: str, stage: str) -> Tensor:
    output: Tensor = output_of(inputs, name, loss=f"uretinex_{stage}", network="uretinex")
    return output
