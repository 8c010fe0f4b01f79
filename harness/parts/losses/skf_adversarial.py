"""SKF's semantic-guided adversarial loss: Y. Wu et al., CVPR 2023, arXiv 2304.07039 (section 3.4).

The authors' code, with DRBN: DRBN_SKF/src/model/D_Net.py (`Discriminator`, `calculate_loss_D`, `calculate_loss_G`).

Shape letters: B batch, K classes, C channels, H×W image.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MultipleOf
from torch import Tensor, nn
from torch.func import functional_call

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Chance, Rate
from harness.core.errors import HarnessError
from harness.parts.losses.outputs import truth_of
from harness.parts.losses.skf_classes import class_probabilities

WHOLE = 0.9
"""Share of whole images in the discriminator's loss; the rest is that of the class-masked ones."""


class SKFAdversarial(nn.Module):
    """Least-squares adversary on whole images and, in its own loss, on single classes' regions of them.

    The model's loss is (D'(restored, its classes) − 1)², over whole images: D' sees the image and the probability maps
    of its K classes as one image of 3 + K channels, through a first convolution of its own; all that follows is D.
    That convolution stays as it is drawn, as the authors' does in effect: D's own loss, of images alone, does not reach
    it. A gradient reaches the image through the segmentation network, too. D's own loss is
    0.9·(D(restored)² + (D(truth) − 1)²)/2 + 0.1·(the same of class-masked images). A mask is the probability of one
    class, as the segmentation network sees it in the `restored` image or the `truth` (`classes`), and an image's
    classes are ranked by their total probability. `regions`, of the two first ranks:

    - `hardest`: whichever of the two D does worse on, for restored and for true images apart. This is what the paper
      means and the released code spells out (per batch; here per image).
    - `both`: the mean of the two.
    - `second`: the second rank alone. So the released code works in effect, as both its masks are one tensor.

    The authors use it with DRBN, at the weight 0.1, with `lr` a thousandth of the model's 1e-4: at that rate D hardly
    learns, and they begin with a fresh D every epoch, which is not done here. Take a higher rate for an adversary that
    matters. `class_maps`: K, 59 with the published network of the refiner `skf`. Raises HarnessError where nothing in
    the cell finds classes, or where K is another number.
    """

    traits = LossTraits(version=2, takes="inputs", adversary=True)

    def __init__(
        self,
        *,
        regions: Literal["hardest", "both", "second"] = "hardest",
        classes: Literal["truth", "restored"] = "restored",
        class_maps: Annotated[int, Ge(2), Le(65_536)] = 59,
        width: Annotated[int, Ge(8), Le(65_536), MultipleOf(8)] = 64,
        lr: Rate = 1e-7,
        betas: tuple[Chance, Chance] = (0.9, 0.999),
    ) -> None:
        super().__init__()
        self.regions = regions
        self.classes = classes
        self.lr = lr
        self.betas = betas
        self.discriminator = Discriminator(width, class_maps)

    def forward(self, inputs: LossInputs) -> Tensor:
        """The model's loss; the discriminator gets no gradient from it."""
        classes_BKHW = class_probabilities(inputs, self.classes, "skf_adversarial", gradient=True)
        known, K = self.discriminator.class_maps, classes_BKHW.shape[1]
        if known != K:
            what = f"skf_adversarial looks at {known} classes, and the segmentation network has {K}"
            raise HarnessError(what, hint=f"class_maps: {K}")
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        beside_BCHW = torch.cat([inputs.restored_BCHW, classes_BKHW], 1)
        return (functional_call(self.discriminator, fixed, beside_BCHW) - 1).square().mean()

    def own_loss(self, inputs: LossInputs) -> Tensor:
        """The discriminator's loss."""
        restored, truth = inputs.restored_BCHW.detach(), truth_of(inputs, loss="skf_adversarial")
        masks = _masks(class_probabilities(inputs, self.classes, "skf_adversarial"))
        masks = masks[1:] if self.regions == "second" else masks
        whole_2B = self._errors(restored, truth)
        regions_R2B = torch.stack([self._errors(restored * mask, truth * mask) for mask in masks])
        region_2B = regions_R2B.amax(0) if self.regions == "hardest" else regions_R2B.mean(0)
        return WHOLE * whole_2B.mean() + (1 - WHOLE) * region_2B.mean()

    def _errors(self, restored: Tensor, truth: Tensor) -> Tensor:
        """Squared errors on restored images, and on true ones, 2×B."""
        fake_B, real_B = self.discriminator(torch.cat([restored, truth])).chunk(2)
        return torch.stack([fake_B, real_B - 1]).square()


class Discriminator(nn.Module):
    """Images of any size, alone or beside the maps of their classes, to the chance that they are true, B.

    The authors' layout: eight 3×3 convolutions, every second one halving the sides, from `width` channels to eight
    times as many; a last 1×1 one, the mean over positions, a sigmoid. The first has a fixed twin for images of 3 +
    `class_maps` channels. The last one sees a border of zeros around its map, where only its bias counts. Norms are
    over groups of channels where theirs are over batches: a score then depends on its image alone, and neither
    micro-batches nor the number of processes matter.
    """

    def __init__(self, width: int, class_maps: int) -> None:
        super().__init__()
        self.class_maps = class_maps
        self.alone = nn.Conv2d(3, width, 3, padding=1)
        self.beside = nn.Conv2d(3 + class_maps, width, 3, padding=1).requires_grad_(False)
        channels = [width * scale for scale in (1, 1, 2, 2, 4, 4, 8, 8)]
        layers: list[nn.Module] = [nn.ReLU()]
        for number, (before, after) in enumerate(pairwise(channels)):
            stride = 1 + (number + 1) % 2
            layers += [nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 1, padding=1))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        first = self.alone if image_BCHW.shape[1] == 3 else self.beside
        return self.layers(first(image_BCHW)).mean((1, 2, 3)).sigmoid()


def _masks(probabilities_BKHW: Tensor) -> list[Tensor]:
    """Probability maps of each image's two largest classes, largest first, each B×1×H×W."""
    ranks_B2 = probabilities_BKHW.sum((-2, -1)).topk(2).indices
    rows = torch.arange(len(ranks_B2), device=ranks_B2.device)
    return [probabilities_BKHW[rows, rank][:, None] for rank in ranks_B2.T]
