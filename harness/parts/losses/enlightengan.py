"""The adversaries that EnlightenGAN is trained against: Y. Jiang et al., TIP 2021, arXiv 1906.06972, section III.

Our own code, from the paper and the authors' released training. They add the loss `self_feature` with weight 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Channels, Count, Pixels, Rate
from harness.core.errors import HarnessError
from harness.parts.losses.patches import random_patches
from harness.parts.ops.whole_batch import mean_of_group
from harness.parts.shared.blocks import draw_normal_weights


class EnlightenGANLoss(nn.Module):
    """A discriminator of whole images, relativistic, and one of patches, both with least squares.

    Both tell restorations from clean images of other scenes. The first is asked whether an image is more real than
    the others are on average (RaGAN, Jolicoeur-Martineau 2018), so its loss depends on which images share a
    micro-batch, of `recipe.micro_batch` images whatever the number of processes. The second sees `patches` random
    squares of `patch` pixels at the same places of all images; the losses of the patches are averaged. `width` is
    their first layer's; defaults are the authors'.

    Raises HarnessError when the data set has no clean images of other scenes.
    """

    traits = LossTraits(takes="inputs", reads="unpaired", adversary=True, version=2)

    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)

    def __init__(self, *, patches: Count = 6, patch: Pixels = 32, width: Channels = 64, lr: Rate = 1e-4) -> None:
        super().__init__()
        if patches < 1:
            raise HarnessError("enlightengan looks at one patch at least: `patches`")
        self.patches = patches
        self.patch = patch
        self.lr = lr
        self.whole = PatchGAN(width, layers=5)
        self.local = PatchGAN(width, layers=4)

    def forward(self, inputs: LossInputs) -> Tensor:
        """What the restoring network minimises: a scalar, not negative."""
        made, real = inputs.restored_BCHW, _clean(inputs)
        with _frozen(self):
            made_scores, real_scores = self.whole(made), self.whole(real)
            total = _relativistic(made_scores, real_scores)
            for (piece,) in random_patches((made,), self.patches, self.patch):
                total = total + _distance(self.local(piece), 1) / self.patches
        return total

    def own_loss(self, inputs: LossInputs) -> Tensor:
        """What both discriminators minimise: a scalar, not negative."""
        made, real = inputs.restored_BCHW.detach(), _clean(inputs)
        total = _relativistic(self.whole(real), self.whole(made))
        for made_piece, real_piece in random_patches((made, real), self.patches, self.patch):
            told_apart = _distance(self.local(real_piece), 1) + _distance(self.local(made_piece), 0)
            total = total + told_apart / (2 * self.patches)
        return total


class PatchGAN(nn.Sequential):
    """4×4 convolutions with LeakyReLU and no norm: `layers` that halve, one that does not, and one to a map of scores.

    Images in [0, 1] of any size, taken to [-1, 1] here.
    """

    def __init__(self, width: int, layers: int) -> None:
        channels = [3, *(width * min(2**layer, 8) for layer in range(layers + 1))]
        parts: list[nn.Module] = []
        for layer, (before, after) in enumerate(pairwise(channels)):
            parts += [nn.Conv2d(before, after, 4, 2 if layer < layers else 1, padding=2), nn.LeakyReLU(0.2)]
        super().__init__(*parts, nn.Conv2d(channels[-1], 1, 4, padding=2))
        draw_normal_weights(self)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return super().forward(2 * image_BCHW - 1)


def _relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """Wishes the first scores one above the second's mean, and the second at the first's mean: they end half apart.

    These targets, 1 and 0, are the authors'; RaLSGAN's own are 1 and -1.
    """
    return (_distance(better - mean_of_group(worse), 1) + _distance(worse - mean_of_group(better), 0)) / 2


def _distance(scores: Tensor, wished: float) -> Tensor:
    return (scores - wished).square().mean()


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """What is computed inside gives the module's parameters no gradient."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _clean(inputs: LossInputs) -> Tensor:
    if inputs.clean_BCHW is None:
        raise HarnessError(
            "the loss enlightengan reads clean images of other scenes, and the training gives none",
            hint="a data set of two scenes or more",
        )
    return inputs.clean_BCHW
