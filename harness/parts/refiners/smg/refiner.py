"""SMG as a refiner: X. Xu et al., "Low-Light Image Enhancement via Structure Modeling and Guidance", CVPR 2023, arXiv
2305.05839. F takes the place of the paper's appearance network.

Shape letters: B batch, C channels, H×W image, S side of the structure network.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from harness.api.ranges import Channels, Factor
from harness.api.refiner import RefinerTraits
from harness.api.traits import LossUse, Rule, When
from harness.parts.ops.steady import resized
from harness.parts.refiners.smg.enhancement import EnhancementNet
from harness.parts.refiners.smg.structure import StructureNet
from harness.parts.shared.blocks import grey_of
from harness.parts.shared.guidance import OtherImages, noise

LUMA = (0.299, 0.587, 0.114)


RULES = (
    Rule(
        "int(min(64, 4096 // size) * narrow) >= 1",
        "the structure network's level of full size has min(64, 4096 / `size`) · `narrow` channels: one at least",
    ),
    Rule(
        "int(min(64, 4096 // (size // 2)) * narrow) % 2 * min(size // 16, 1) == 0",
        "the structure network's level of half the size has two heads, so that its channels, "
        "min(64, 8192 / `size`) · `narrow` rounded down, are a multiple of 2",
    ),
    Rule(
        "int(min(64, 4096 // (8, 16, 32, 64, 128, 256, 512)) * narrow) % 4 "
        "* min(size // (32, 64, 128, 256, 512, 1024, 2048), 1) == 0",
        "the structure network's levels from a quarter of `size` down have four heads, so that their channels, "
        "min(64, 4096 / side) · `narrow` rounded down, are multiples of 4",
    ),
)
"""Of the widths that `StructureNet` makes of its options: heads divide them."""


class SMG(nn.Module):
    """An edge map of the bright image, found in the dark one, guides the enhancement of Î.

    I_a = clamp(Î, 0, 1) and Ī = I_a + E([I_a, I_d], S(grey I_d)), with S the structure network and E the enhancement.
    With the defaults these are the published 16.76 million parameters. The authors clamp Ī too; here that is left to
    the evaluation, so that values beyond the range still get a gradient.

    - `size`: S works on squares of this side, a power of two. The grey image is resized to it (bilinear, antialiased)
      and the map resized back. The authors resize their images to 512×512 instead, in training and in test; here E and
      all measures see the image as it is. With patches of `size` both are the same in training.
    - `width`: channels of E at full resolution. `narrow`: scales the widths of S.
    - `guidance`: whose map guides E. `own`: the image's. `shuffled`, a control: another image's, one of eight that the
      refiner keeps from its training. `random`, a control: noise. Which one depends on the degraded image's content.
      The losses always judge the image's own map, so that S learns it in the same way.

    S draws noise in training, from PyTorch's generator, and none in evaluation (see `StructureNet`). At the start Ī is
    close to Î, for the sake of a trained F: E's last convolution has a tenth of its usual weights and no bias.

    Sides are multiples of 8: E halves twice and then mirrors borders, for which two positions must be left. S learns by
    its own losses, the edges of the truth being its target; E by the recipe's.
    """

    traits = RefinerTraits(
        needs_prior=False,
        control=When("guidance", ("shuffled", "random")),
        outputs=True,
        size_multiple=8,
        channels=3,
        losses=(LossUse("smg_structure", 5.0), LossUse("smg_adversary", 1.0)),
        rules=RULES,
    )

    def __init__(
        self,
        *,
        size: Literal[8, 16, 32, 64, 128, 256, 512, 1024, 2048] = 512,
        width: Channels = 16,
        narrow: Factor = 1.0,
        guidance: Literal["own", "shuffled", "random"] = "own",
    ) -> None:
        self.traits.require(locals())
        super().__init__()
        self.structure = StructureNet(size=size, narrow=narrow)
        self.enhancement = EnhancementNet(width=width)
        self.guidance = guidance
        self.others = OtherImages() if guidance == "shuffled" else None
        self._start_near_initial()

    @torch.no_grad()
    def _start_near_initial(self) -> None:
        *_, weight, bias = self.enhancement.tail.parameters()
        weight.mul_(0.1)
        bias.zero_()

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor | None = None) -> Tensor:
        """I_d in [0, 1] and Î (not clamped) to Ī, not clamped. There is no prior vector."""
        own = self.guidance == "own"
        guide_B1HW = self.find_structure(lq_BCHW) if own else self._control(lq_BCHW)
        return self.enhance(lq_BCHW, initial_BCHW, guide_B1HW)

    def outputs(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor | None = None) -> dict[str, Tensor]:
        """`restored`, and for the losses `structure`: the image's own map B×1×H×W in [0, 1]."""
        structure_B1HW = self.find_structure(lq_BCHW)
        guide_B1HW = structure_B1HW if self.guidance == "own" else self._control(lq_BCHW)
        return {"restored": self.enhance(lq_BCHW, initial_BCHW, guide_B1HW), "structure": structure_B1HW}

    def _control(self, lq_BCHW: Tensor) -> Tensor:
        """The map that stands in for the image's own, B×1×H×W in [0, 1]."""
        if self.others is None:
            return noise(lq_BCHW, 1, *lq_BCHW.shape[-2:])
        other_BCHW = self.others(lq_BCHW)
        if self.training:
            self.others.remember(lq_BCHW)
        return self.find_structure(other_BCHW)

    def find_structure(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images of any size to their maps, of that size."""
        grey_B1HW = grey_of(lq_BCHW, LUMA)
        square = (self.structure.size, self.structure.size)
        map_B1SS = self.structure(_resized(grey_B1HW, square)).map_B1HW
        # Resizing may round a value past the ends of the range.
        return _resized(map_B1SS, lq_BCHW.shape[-2:]).clamp(0, 1)

    def enhance(self, lq_BCHW: Tensor, initial_BCHW: Tensor, structure_B1HW: Tensor) -> Tensor:
        """Ī, with the map given."""
        appearance_BCHW = initial_BCHW.clamp(0, 1)
        residual_BCHW = self.enhancement(torch.cat([appearance_BCHW, lq_BCHW], 1), structure_B1HW)
        return residual_BCHW + appearance_BCHW


class SMGDepth(SMG):
    """SMG with depth in the place of edges: the same networks, and a map that learns the truth's relative depth.

    The paper on PTG-RM compares with it; the authors of SMG publish no code for it. So the loss is ours: see
    `smg_depth`. There is no adversary, as a map of depth is smooth, and what it is for, sharp edges, is not there.
    The options are those of SMG.
    """

    traits = RefinerTraits(
        needs_prior=False,
        control=When("guidance", ("shuffled", "random")),
        outputs=True,
        size_multiple=8,
        channels=3,
        losses=(LossUse("smg_depth", 5.0),),
        rules=RULES,
    )

    def __init__(
        self,
        *,
        size: Literal[8, 16, 32, 64, 128, 256, 512, 1024, 2048] = 512,
        width: Channels = 16,
        narrow: Factor = 1.0,
        guidance: Literal["own", "shuffled", "random"] = "own",
    ) -> None:
        super().__init__(size=size, width=width, narrow=narrow, guidance=guidance)


def _resized(image_BCHW: Tensor, size: tuple[int, ...]) -> Tensor:
    if image_BCHW.shape[-2:] == tuple(size):
        return image_BCHW
    height, width = size
    return resized(image_BCHW, (height, width))
