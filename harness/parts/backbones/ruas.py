"""RUAS: R. Liu et al., "Retinex-inspired Unrolling with Cooperative Prior Architecture Search for Low-light Image
Enhancement", CVPR 2021, arXiv 2012.05609.

Our own code, written from the paper and a description of the network, and checked against sampled outputs. Parameter
names are those of the authors' checkpoints. The search is not here, only the cells that it found.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.traits import LossUse

ITERATIONS = 3
DENOISER_CELLS = 3
DENOISER_CHANNELS = 6

# Operations of the found cells, in the order c1_d, c1_r, c2_d, c2_r, c3_d, c3_r, c4.
ILLUMINATION_CELL = ("skip", "resconv1x1", "resdilconv3x3", "conv3x3", "conv3x3", "skip", "conv3x3")
NOISE_CELL = ("resconv1x1", "resconv1x1", "resdilconv3x3", "skip", "resconv1x1", "resconv1x1", "skip")


class RUAS(nn.Module):
    """Three unrolled Retinex iterations, each of which estimates an illumination and divides by it, then a denoiser.

    Any image size. `denoise: false` gives the third enhanced image as it is, as the authors use their models `upe` and
    `dark`; the denoiser is then there but frozen, so that checkpoints load.
    """

    traits = BackboneTraits(
        losses=(LossUse("ruas"),),
        taps=True,
        outputs=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2012.05609",
        verified=True,
    )

    def __init__(self, *, denoise: bool = True) -> None:
        super().__init__()
        self.denoise = denoise
        cells = tuple(f"enhance_net.iems.{iteration}.cell" for iteration in range(ITERATIONS))
        denoiser_cells = tuple(f"denoise_net.nrms.{cell}" for cell in range(DENOISER_CELLS))
        self.capabilities = Capabilities(
            taps=cells + denoiser_cells if denoise else cells,
        )
        self.enhance_net = Enhancement(ITERATIONS)
        self.denoise_net = Denoiser(DENOISER_CHANNELS, DENOISER_CELLS).requires_grad_(denoise)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to enhanced ones."""
        enhanced, _ = self.enhance_net(lq_BCHW)
        return self.denoise_net(enhanced[-1]) if self.denoise else enhanced[-1]

    def outputs(self, lq_BCHW: Tensor) -> dict[str, Any]:
        """The restoration, and all iterations for the loss.

        The denoiser's gradient does not reach the enhancement, as the authors train the two apart.
        """
        enhanced, illuminations = self.enhance_net(lq_BCHW)
        made = {"restored": enhanced[-1], "enhanced": tuple(enhanced), "illuminations": tuple(illuminations)}
        if self.denoise:
            made["restored"] = self.denoise_net(enhanced[-1])
            made["enhanced"] = (*enhanced, self.denoise_net(enhanced[-1].detach()))
        return made

    def iterate(self, image_BCHW: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Enhanced images of the iterations, then the denoised one; and the illuminations of the iterations."""
        enhanced, illuminations = self.enhance_net(image_BCHW)
        return [*enhanced, self.denoise_net(enhanced[-1])], illuminations


class Enhancement(nn.Module):
    """The unrolled iterations, each with weights of its own."""

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self.iems = nn.ModuleList(IlluminationEstimation() for _ in range(iterations))

    def forward(self, image_BCHW: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Enhanced images in [0, 1] and illuminations in [0.001, 1], one per iteration."""
        enhanced: list[Tensor] = []
        illuminations: list[Tensor] = []
        for estimate in self.iems:
            guess = _brightest_neighbour(enhanced[-1] if enhanced else image_BCHW)
            if enhanced:
                guess = guess - 0.5 * (enhanced[-1] - image_BCHW)
            illuminations.append(estimate(guess))
            enhanced.append((image_BCHW / illuminations[-1]).clamp(0, 1))
        return enhanced, illuminations


class IlluminationEstimation(nn.Module):
    """Refines a first guess of the illumination with the found cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = SearchedCell(3, ILLUMINATION_CELL)

    def forward(self, guess_BCHW: Tensor) -> Tensor:
        return self.cell(guess_BCHW).sigmoid().clamp(0.001, 1)


class Denoiser(nn.Module):
    """Subtracts the noise that a chain of cells predicts."""

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.nrms = nn.ModuleList(SearchedCell(channels, NOISE_CELL) for _ in range(cells))
        self.activate = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        features = self.stem(image_BCHW)
        for cell in self.nrms:
            features = cell(features)
        return image_BCHW - self.activate(features)


class SearchedCell(nn.Module):
    """The searched cell, a distillation block: at each of three steps one branch is kept, another goes on."""

    def __init__(self, channels: int, operations: tuple[str, ...]) -> None:
        super().__init__()
        self.c1_d, self.c1_r, self.c2_d, self.c2_r, self.c3_d, self.c3_r, self.c4 = (
            _operation(name, channels) for name in operations
        )
        self.c5 = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        kept = []
        for keep, go_on in ((self.c1_d, self.c1_r), (self.c2_d, self.c2_r), (self.c3_d, self.c3_r)):
            kept.append(_leaky(keep(x_BCHW)))
            x_BCHW = _leaky(go_on(x_BCHW) + x_BCHW)
        kept.append(_leaky(self.c4(x_BCHW)))
        return self.c5(torch.cat(kept, 1))


class Convolution(nn.Module):
    """A convolution, with `skip` around it a residual one."""

    def __init__(self, channels: int, side: int, *, dilation: int = 1, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.op = nn.Conv2d(channels, channels, side, padding=dilation * (side // 2), dilation=dilation)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.op(x_BCHW) + x_BCHW if self.skip else self.op(x_BCHW)


def _operation(name: str, channels: int) -> nn.Module:
    if name == "skip":
        return nn.Identity()
    if name == "conv3x3":
        return Convolution(channels, 3)
    if name == "resconv1x1":
        return Convolution(channels, 1, skip=True)
    assert name == "resdilconv3x3", name
    return Convolution(channels, 3, dilation=2, skip=True)


def _brightest_neighbour(x_BCHW: Tensor) -> Tensor:
    """Largest of each pixel and its neighbours to the right, below and diagonally below; zero beyond the border."""
    return F.max_pool2d(F.pad(x_BCHW, (0, 1, 0, 1)), 2, stride=1)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.05)
