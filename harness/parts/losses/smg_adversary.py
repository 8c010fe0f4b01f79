"""SMG's adversary: a discriminator of edge maps, trained beside the structure network (arXiv 2305.05839).

Shape letters: B batch, C channels, H×W map, S side of the discriminator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Factor, Rate
from harness.core.errors import HarnessError
from harness.parts.losses.outputs import truth_of
from harness.parts.losses.smg_structure import edges, structure_of
from harness.parts.ops.steady import resized
from harness.parts.shared.stylegan import Blur, ConvLayer, EqualConv2d, EqualLinear

COARSEST = 4
"""Side of the smallest features."""
PENALTY = 10.0
"""γ of R1, whose weight is γ/2."""
EVERY = 16
"""Steps from one R1 term to the next, each weighted that much more."""


class SMGAdversary(nn.Module):
    """softplus(−D(made)) for the model; softplus(−D(true)) + softplus(D(made)) for D, and R1 on every 16th step.

    R1 (L. Mescheder et al., ICML 2018) is 5·|∇D(true)|², here 16 times as much and 16 times as rarely, added to D's
    loss of that step; the authors take a step of its own for it. D trains by Adam with `lr`, and with the betas that
    PyTorch has and the authors leave. True maps are the truth's edges, as in `smg_structure`.

    `size`: the largest side S of the maps that D takes, a power of two (see `Discriminator`). `narrow` scales D's
    widths, which are those of the structure network. No golden covers D.
    """

    traits = LossTraits(takes="inputs", adversary=True)

    betas = (0.9, 0.999)

    def __init__(
        self,
        *,
        size: Literal[8, 16, 32, 64, 128, 256, 512, 1024, 2048] = 512,
        narrow: Factor = 1.0,
        lr: Rate = 2e-4,
    ) -> None:
        super().__init__()
        self.lr = lr
        self.discriminator = Discriminator(size, narrow)

    def forward(self, inputs: LossInputs) -> Tensor:
        """What the model minimises: a scalar ≥ 0. Raises HarnessError where the refiner makes no map."""
        with _held(self.discriminator):
            return F.softplus(-self.discriminator(structure_of(inputs))).mean()

    def own_loss(self, inputs: LossInputs) -> Tensor:
        """What D minimises: a scalar ≥ 0."""
        true_B1SS = self.discriminator.fitted(edges(truth_of(inputs, loss="smg_adversary")))
        penalised = inputs.step % EVERY == 0
        true_B1SS.requires_grad_(penalised)
        true_scores_B1 = self.discriminator(true_B1SS)
        loss = F.softplus(-true_scores_B1).mean()
        loss = loss + F.softplus(self.discriminator(structure_of(inputs).detach())).mean()
        return loss + EVERY * PENALTY / 2 * r1(true_scores_B1, true_B1SS) if penalised else loss


def r1(scores_B1: Tensor, maps_B1SS: Tensor) -> Tensor:
    """The squared length of the gradient of each score by its map, the mean over the batch."""
    (gradient,) = torch.autograd.grad(scores_B1.sum(), maps_B1SS, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


class Discriminator(nn.Module):
    """StyleGAN2's discriminator for maps of one channel: B×1×H×W to scores B×1.

    Maps are resized to a square whose side is the next power of two, from 8 to `size`. Those smaller than `size` enter
    at the level of their side, so that they meet the discriminator that is built for it.

    The authors' also looks at the spread of features over the batch. Theirs has one image per process, where that is a
    constant; it is left out, so that a score never depends on the other images. Raises HarnessError for a size that
    does not fit.
    """

    def __init__(self, size: int, narrow: float) -> None:
        super().__init__()
        if size < 2 * COARSEST or size & (size - 1):
            raise HarnessError(f"SMG's discriminator takes a power of two from 8 up as `size`, not {size}")
        self.sides = [size >> level for level in range((size // COARSEST).bit_length())]
        widths = [max(1, int(min(64, 4096 // side) * narrow)) for side in self.sides]
        self.entries = nn.ModuleList(ConvLayer(1, width, 1) for width in widths[:-1])
        self.blocks = nn.ModuleList(Halving(*pair) for pair in pairwise(widths))
        self.last = ConvLayer(widths[-1], widths[-1], 3)
        self.score = nn.Sequential(
            EqualLinear(COARSEST**2 * widths[-1], widths[-1], leaky=True), EqualLinear(widths[-1], 1)
        )

    def fitted(self, maps_B1HW: Tensor) -> Tensor:
        """Maps at a size that the network takes."""
        longest = max(maps_B1HW.shape[-2:])
        side = min([side for side in self.sides[:-1] if side >= longest], default=self.sides[0])
        if maps_B1HW.shape[-2:] == (side, side):
            return maps_B1HW
        return resized(maps_B1HW, (side, side))

    def forward(self, maps_B1HW: Tensor) -> Tensor:
        maps_B1SS = self.fitted(maps_B1HW)
        level = self.sides.index(maps_B1SS.shape[-1])
        x = self.entries[level](maps_B1SS)
        for block in self.blocks[level:]:
            x = block(x)
        return self.score(self.last(x).flatten(1))


class Halving(nn.Module):
    """Residual block to half the sides."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(ConvLayer(channels, channels, 3), ConvLayer(channels, out, 3, halve=True))
        self.skip = nn.Sequential(Blur(1), EqualConv2d(channels, out, 1, stride=2))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return (self.main(x_BCHW) + self.skip(x_BCHW)) / math.sqrt(2)


@contextmanager
def _held(module: nn.Module) -> Iterator[None]:
    """Inside, what the module computes passes gradients on but gives its parameters none."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
