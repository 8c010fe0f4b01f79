"""SMG as a whole: X. Xu et al., "Low-Light Image Enhancement via Structure Modeling and Guidance", CVPR 2023, arXiv
2305.05839. Three networks that are trained jointly: appearance, structure, and structure-guided enhancement.

Shape letters: B batch, H×W image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.parts.refiners.smg.appearance import AppearanceNet
from harness.parts.refiners.smg.enhancement import EnhancementNet
from harness.parts.refiners.smg.structure import StructureNet


class Enhanced(NamedTuple):
    """What the losses of SMG compare: images and edge map, all in [0, 1]."""

    final_BCHW: Tensor
    appearance_BCHW: Tensor
    edges_B1HW: Tensor


class SMG(nn.Module):
    """Appearance I_a = clamp(A(x) + x, 0, 1) and edges S(grey x), then clamp(E([I_a, x], edges) + I_a, 0, 1).

    Images are `size`×`size` because of S; `enhance`, with edges given, takes any sides that are multiples of 4.
    Defaults are the authors'.
    """

    def __init__(
        self, *, size: int = 512, appearance_width: int = 32, enhancement_width: int = 16, blocks: int = 1
    ) -> None:
        super().__init__()
        self.appearance = AppearanceNet(width=appearance_width, blocks=blocks)
        self.structure = StructureNet(size=size)
        self.enhancement = EnhancementNet(width=enhancement_width, blocks=blocks)

    def forward(self, lq_BCHW: Tensor) -> Enhanced:
        """Low-light images in [0, 1]."""
        weights = lq_BCHW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        grey = (lq_BCHW * weights).sum(1, keepdim=True)
        return self.enhance(lq_BCHW, self.structure(grey).map_B1HW)

    def enhance(self, lq_BCHW: Tensor, edges_B1HW: Tensor) -> Enhanced:
        """The same with the edge map given."""
        appearance = (self.appearance(lq_BCHW) + lq_BCHW).clamp(0, 1)
        residual = self.enhancement(torch.cat([appearance, lq_BCHW], 1), edges_B1HW)
        return Enhanced((residual + appearance).clamp(0, 1), appearance, edges_B1HW)
