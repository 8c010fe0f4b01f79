"""SKF on SNR-Net: semantic-aware embeddings in the decoder of a network that is trained with them.

Paper: arXiv 2304.07039; SNR-Net: X. Xu et al., CVPR 2022. Here is what SKF adds; the network itself is a backbone.

The refiner `skf` (`refiner.py`) does not use this module: it reaches the decoder of any network. Only here can the
embeddings stand `after` the encoder's features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from harness.parts.refiners.skf.embedding import SemanticEmbedding

Merge = Callable[[int, Tensor, Tensor], Tensor]
"""(level, the decoder's features, the encoder's) to both side by side."""


class SNRNetEmbeddings(nn.Module):
    """One embedding for each of the decoder's three levels, from 1/4 to full resolution.

    The levels take the features of the segmentation network from coarse to fine, `semantic_channels` wide: by default
    HRNet-W48's at 1/16, 1/8 and 1/4 of the image. `place`: into the decoder's features `before` those of the encoder
    come beside them, or into both `after`. `nf` is the network's width.
    """

    def __init__(
        self,
        *,
        nf: int = 64,
        semantic_channels: tuple[int, int, int] = (192, 96, 48),
        heads: int = 2,
        place: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__()
        self.place = place
        width = nf if place == "before" else 2 * nf
        self.blocks = nn.ModuleList(
            SemanticEmbedding(width, channels, gate="semantics", heads=heads) for channels in semantic_channels
        )

    def merge(self, features: Sequence[Tensor]) -> Merge:
        """What the network calls at each level with the decoder's and the encoder's features.

        `features`: those of the segmentation network from fine to coarse, as it gives them; more than three are left.
        """
        coarse_to_fine = features[len(self.blocks) - 1 :: -1]

        def merged(level: int, decoded_BCHW: Tensor, encoded_BCHW: Tensor) -> Tensor:
            embed, semantics = self.blocks[level], coarse_to_fine[level]
            if self.place == "before":
                return torch.cat([embed(decoded_BCHW, semantics), encoded_BCHW], 1)
            return embed(torch.cat([decoded_BCHW, encoded_BCHW], 1), semantics)

        return merged
