"""What the three stages of URetinex-Net are trained with: W. Wu et al., CVPR 2022, sections 3.2 to 3.4.

Our own code, from the paper and the authors' training of their later URetinex-Net++, whose losses are those of
AndersonYong/URetinex-Net-PLUS, model.py, loss/loss_function.py and loss/non_ref_loss.py. An image I is the product of a
reflectance R (B×3×H×W) and an illumination L (B×1×H×W). A refiner trains in the last stage alone, so the losses of the
first two are zero on a refined image.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Factor, Weight
from harness.api.traits import Published
from harness.parts.losses.outputs import output_of, truth_of, zero_like
from harness.parts.losses.ssim import similarity
from harness.parts.losses.tv import total_variation
from harness.parts.losses.vgg import FeatureDistance
from harness.parts.losses.zero_dce import spatial_consistency
from harness.parts.shared.blocks import grey_of
from harness.parts.shared.retinex import bright_illumination
from harness.weights.files import ready_files

Parts = tuple[Tensor, Tensor]
"""Reflectance and illumination."""

DARKEST = 1e-3
"""Lowest illumination of the truth: black pixels have reflectance zero, and not none."""
LUMA = (0.2989, 0.587, 0.114)
FALL = 10.0
"""How fast the weight of a change of the illumination falls with the image's own change there."""


class Decomposition(nn.Module):
    """Stage 1: L1(I, R·L) + `brightness` · MSE(L, largest channel of I), on the degraded image.

    Where the network decomposes the truth as well (`truth_trains`), the same on the truth, with the largest channel to
    the power of 1/2.2, and + `structure` · structure-aware smoothness of L. Otherwise no truth is read.
    """

    traits = LossTraits(version=2, takes="inputs", reads="degraded")

    def __init__(self, *, brightness: Weight = 0.1, structure: Weight = 0.1) -> None:
        super().__init__()
        self.brightness = brightness
        self.structure = structure

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        if inputs.refined:
            return zero_like(inputs)
        image = inputs.lq_BCHW
        parts: Parts = _output(inputs, "decomposed", "decomposition")
        total = self._of(image, parts, image.amax(1, keepdim=True))
        if "truth_decomposed" not in inputs.outputs:
            return total
        truth, parts = truth_of(inputs, loss="uretinex_decomposition"), inputs.outputs["truth_decomposed"]
        total = total + self._of(truth, parts, bright_illumination(truth))
        return total + self.structure * structure_aware_smoothness(parts[1], truth)

    def _of(self, image: Tensor, parts: Parts, wished: Tensor) -> Tensor:
        reflectance, illumination = parts
        return F.l1_loss(reflectance * illumination, image) + self.brightness * F.mse_loss(illumination, wished)


class Unfolding(nn.Module):
    """Stage 2: the rounds agree with themselves, and the last reflectance with the truth's.

    Σ over rounds t of (`gamma` + t·`r_offset`) · MSE(P, R) + (`lamda` + t·`l_offset`) · MSE(Q, L), then for the last
    round MSE(R, R_truth) + 1 − SSIM(R, R_truth) + `smoothness` · half the total variation of L. The four weights are
    options of the network too, and have to be the same there. The authors add `uretinex_features`, with weight 1.

    R_truth is what the network's second decomposition makes of the truth, where it has one (`truth_trains`), as with
    the authors. Else it is the truth divided by its largest channel to the power of 1/2.2, which is what
    that decomposition aims at, apart from its smoothness.
    """

    traits = LossTraits(version=2, takes="inputs")

    def __init__(
        self,
        *,
        gamma: Factor = 0.5,
        lamda: Factor = 0.5,
        r_offset: float = 0.05,
        l_offset: float = 0.05,
        smoothness: Weight = 20.0,
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
        wished = _wished_reflectance(inputs, "unfolding")
        total = total + F.mse_loss(reflectance, wished) + 1 - similarity(reflectance, wished)
        return total + self.smoothness / 2 * total_variation(illumination)


class Features(nn.Module):
    """Stage 2: the distance of VGG-19's features of the last reflectance and of the truth's (see `Unfolding`).

    The features are those of the loss `perceptual`, of images that are not normalised as ImageNet's, averaged. Raises
    MissingWeights without torchvision's ImageNet weights, DataError when the file is another one.
    """

    traits = LossTraits(takes="inputs", weights=(Published("vgg19/imagenet"),))

    def __init__(self) -> None:
        super().__init__()
        (path,) = ready_files(self.traits, {}, "loss uretinex_features")
        self._distance = FeatureDistance(path, "mean", normalise=False)

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        if inputs.refined:
            return zero_like(inputs)
        distance: Tensor = self._distance(
            _output(inputs, "reflectance", "features"), _wished_reflectance(inputs, "features")
        )
        return distance


class Adjustment(nn.Module):
    """Stage 3: MSE(restored, truth) + `structure` · L1 of the absolute gradients of the illumination before and after
    + `spatial` · spatial consistency of the restored image and the truth (Zero-DCE's).

    On a refined image, all but the illuminations' term.
    """

    traits = LossTraits(version=2, takes="inputs")

    def __init__(self, *, structure: Weight = 1.0, spatial: Weight = 10.0) -> None:
        super().__init__()
        self.structure = structure
        self.spatial = spatial

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar."""
        restored, truth = inputs.restored_BCHW, truth_of(inputs, loss="uretinex_adjustment")
        total = F.mse_loss(restored, truth) + self.spatial * spatial_consistency(truth, restored)
        if inputs.refined:
            return total
        high, low = (_output(inputs, name, "adjustment") for name in ("high_illumination", "illumination"))
        for axis in (2, 3):
            total = total + self.structure * F.l1_loss(
                torch.diff(high, dim=axis).abs(), torch.diff(low, dim=axis).abs()
            )
        return total


def reflectance_of(image_BCHW: Tensor) -> Tensor:
    """A bright image divided by its illumination, B×3×H×W in [0, 1]."""
    return image_BCHW / bright_illumination(image_BCHW).clamp(min=DARKEST)


def structure_aware_smoothness(illumination_B1HW: Tensor, image_B3HW: Tensor) -> Tensor:
    """Absolute differences of the illumination to its neighbours, mean over each direction and summed.

    Each weighs exp(−10 · c), with c the image's own differences in grey, averaged over 3×3 places (zeros around).
    """
    grey_B1HW = grey_of(image_B3HW, LUMA)
    total = illumination_B1HW.new_zeros(())
    for axis in (2, 3):
        change = torch.diff(grey_B1HW, dim=axis).abs()
        weight = torch.exp(-FALL * F.avg_pool2d(change, 3, stride=1, padding=1))
        total = total + (weight * torch.diff(illumination_B1HW, dim=axis).abs()).mean()
    return total


def _wished_reflectance(inputs: LossInputs, stage: str) -> Tensor:
    """The truth's, by the network's own decomposition of bright images where it has one."""
    parts = inputs.outputs.get("truth_decomposed")
    if parts is None:
        return reflectance_of(truth_of(inputs, loss=f"uretinex_{stage}"))
    wished: Tensor = parts[0].detach()
    return wished


def _output(inputs: LossInputs, name: str, stage: str) -> Any:
    return output_of(inputs, name, loss=f"uretinex_{stage}", network="uretinex")
