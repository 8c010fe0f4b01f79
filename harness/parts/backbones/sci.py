"""SCI: L. Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image Enhancement", CVPR 2022, arXiv 2204.10137.

Our own code, written from the paper and a description of the network, and checked against sampled outputs. Parameter
names are those of the authors' checkpoints.

An illumination network of 258 parameters is trained in a cascade: a calibration network turns each stage's result into
the next stage's input, and all stages share their weights, until the first stage alone is as good as the last. Only
that first stage is used afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Count
from harness.api.traits import LossUse
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import draw_normal_weights

CALIBRATION_CHANNELS = 16
CALIBRATION_REPEATS = 3


class Brightening(NamedTuple):
    """What one stage of the cascade takes and makes, each B×3×H×W."""

    input_BCHW: Tensor
    illumination_BCHW: Tensor
    enhanced_BCHW: Tensor
    correction_BCHW: Tensor
    """What is added to the image to make the next stage's input; of either sign."""


class SCI(nn.Module):
    """Divides the image by an estimated illumination. Any image size; results lie in [0, 1].

    `stage`: length of the training cascade that `stages` runs; the authors' 3 is for training by their unsupervised
    losses and for their checkpoints. None: the first stage alone, without calibration. `forward` gives the first
    stage's result either way, and so sends no gradient to the calibration. Raises HarnessError for a length below 1.

    First weights are drawn as in the authors' train.py: N(0, 0.02²) for convolutions, N(1, 0.02²) for the factors of
    norms, zero for all biases.
    """

    traits = BackboneTraits(
        version=2,
        losses=(LossUse("sci"),),
        taps=True,
        outputs=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2204.10137",
        verified=True,
    )

    def __init__(self, *, stage: Count | None = None) -> None:
        super().__init__()
        if stage is not None and stage < 1:
            raise HarnessError("sci has at least one stage: `stage`")
        self.stage = stage
        self.capabilities = Capabilities(
            taps=("enhance.in_conv", "enhance.conv"),
        )
        self.enhance = Illumination()
        self.calibrate = None if stage is None else Calibration(CALIBRATION_CHANNELS, CALIBRATION_REPEATS)
        draw_normal_weights(self, clear_biases=True)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to enhanced ones."""
        return self.illuminate(lq_BCHW)[1]

    def outputs(self, lq_BCHW: Tensor) -> dict[str, Any]:
        """The first stage's result, and what every stage took and made for the loss."""
        if self.stage is None:
            illumination, enhanced = self.illuminate(lq_BCHW)
            return {
                "restored": enhanced,
                "inputs": (lq_BCHW,),
                "illuminations": (illumination,),
                "enhanced": (enhanced,),
            }
        inputs, illuminations, enhanced_images, _ = zip(*self.stages(lq_BCHW), strict=True)
        return {
            "restored": enhanced_images[0],
            "inputs": inputs,
            "illuminations": illuminations,
            "enhanced": enhanced_images,
        }

    def illuminate(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Illumination in [1e-4, 1], and the image divided by it."""
        illumination = self.enhance(image_BCHW)
        return illumination, _lit(image_BCHW, illumination)

    def stages(self, image_BCHW: Tensor) -> list[Brightening]:
        """The training cascade. Raises HarnessError for a network without one."""
        if self.stage is None or self.calibrate is None:
            raise HarnessError("this sci has no training cascade", hint="set its option `stage`, to the authors' 3")
        stages = []
        current = image_BCHW
        for _ in range(self.stage):
            illumination = self.enhance(current)
            enhanced = _lit(image_BCHW, illumination)  # Always the image itself, not the stage's input.
            correction = self.calibrate(enhanced)
            stages.append(Brightening(current, illumination, enhanced, correction))
            current = image_BCHW + correction
        return stages


class Illumination(nn.Module):
    """Three 3-channel convolutions, the middle one around a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
        self.conv = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
        # The authors' checkpoints hold the block under both names.
        self.blocks = nn.ModuleList([self.conv])
        self.out_conv = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, image_BCHW: Tensor) -> Tensor:
        features = self.in_conv(image_BCHW)
        features = features + self.conv(features)
        return (self.out_conv(features) + image_BCHW).clamp(1e-4, 1)


class Calibration(nn.Module):
    """Input minus a predicted map; one block, applied `repeats` times, each time around a skip."""

    def __init__(self, channels: int, repeats: int) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.convs = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        # The authors' checkpoints hold the block under all these names.
        self.blocks = nn.ModuleList([self.convs] * repeats)
        self.out_conv = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, enhanced_BCHW: Tensor) -> Tensor:
        features = self.in_conv(enhanced_BCHW)
        for block in self.blocks:
            features = features + block(features)
        return enhanced_BCHW - self.out_conv(features)


def _lit(image_BCHW: Tensor, illumination_BCHW: Tensor) -> Tensor:
    return (image_BCHW / illumination_BCHW).clamp(0, 1)
