"""SKF's semantic-aware embeddings on the decoder of any network, and the segmentation network that leads them.

Paper: arXiv 2304.07039, section 3.2.

Shape letters: B batch, C channels, S semantic channels, K classes, H×W image, h×w a feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from harness.core.errors import HarnessError
from harness.parts.refiners.skf.embedding import SemanticEmbedding
from harness.parts.refiners.skf.hrnet import HRNet, Semantics
from harness.parts.shared.blocks import reflect_pad
from harness.parts.shared.guidance import OtherImages, noise

Edit = Callable[[Tensor], Tensor]

USED = 3
"""Branches of the segmentation network that lead embeddings: 1/4, 1/8 and 1/16. The authors leave out 1/32."""


class SemanticGuidance(nn.Module):
    """One embedding for each decoder feature; `channels` are their widths, coarse to fine.

    The finest takes the segmentation network's finest branch (1/4 of the image), the one before the next (1/8), and so
    on; where the decoder has more levels than the three branches used, all deeper ones take the coarsest (1/16). With
    three levels this is what the authors do with SNR-Net. A feature may have any size: semantics are enlarged or
    reduced to it by repetition.

    The segmentation network is no submodule: it is not trained, not saved with a cell, and not counted as R's
    parameters. It follows R to its device, and stays in evaluation mode and float32. `semantics` says which image it
    sees in training, `guidance` whether its features lead at all (see `SKF`). Raises HarnessError when the heads do not
    divide a width.
    """

    def __init__(
        self,
        channels: Sequence[int],
        network: HRNet,
        *,
        semantics: Literal["input", "truth"] = "input",
        heads: int = 2,
        guidance: Literal["own", "shuffled", "random"] = "own",
    ) -> None:
        super().__init__()
        self.guidance = guidance
        self.others = OtherImages() if guidance == "shuffled" else None
        self.reads_truth = semantics == "truth"
        self._frozen = (network.eval().requires_grad_(False),)  # in a tuple it is no submodule
        self._branch = [min(level, USED - 1) for level in reversed(range(len(channels)))]
        self.blocks = nn.ModuleList(
            SemanticEmbedding(C, network.channels[branch], gate="semantics", heads=heads)
            for C, branch in zip(channels, self._branch, strict=True)
        )

    def edits(
        self,
        lq_BCHW: Tensor,
        prior_BD: Tensor | None,
        truth_BCHW: Tensor | None,
        restored_BCHW: Tensor | None = None,
    ) -> tuple[tuple[Edit, ...], dict[str, Any]]:
        """One function of a map for each decoder feature, and `segment` for the losses. No prior vector is used.

        Semantics are the degraded image's, and in a later pass those of `restored_BCHW`, the result before. With
        `reads_truth` they are the truth's in training. Raises HarnessError where such a training gives no truth.
        """
        image_BCHW = lq_BCHW if restored_BCHW is None else restored_BCHW
        if self.reads_truth and self.training:
            if truth_BCHW is None:
                raise HarnessError(
                    "semantics: truth needs the clean images in training",
                    where="refiner skf",
                    hint="semantics: input, or train on pairs",
                )
            image_BCHW = truth_BCHW
        H, W = image_BCHW.shape[-2:]
        features = self._leading(lq_BCHW, image_BCHW, turn=int(restored_BCHW is not None))
        return self.functions(features, (H, W)), {"segment": self.segment}

    def _leading(self, lq_BCHW: Tensor, image_BCHW: Tensor, turn: int) -> Sequence[Tensor]:
        """The features that lead: those of `image_BCHW`, or a control's. `turn`: the pass, from 0."""
        if self.guidance == "random":
            sides = tuple(map(_padded, lq_BCHW.shape[-2:]))
            return [
                noise(lq_BCHW, C, sides[0] // scale, sides[1] // scale, USED * turn + branch)
                for branch, (C, scale) in enumerate(zip(self._frozen[0].channels[:USED], (4, 8, 16), strict=True))
            ]
        seen_BCHW = image_BCHW if self.others is None else self.others(lq_BCHW, turn)
        if self.others is not None and self.training and turn == 0:
            self.others.remember(image_BCHW)
        with torch.no_grad():
            features: Sequence[Tensor] = self._seen(self._frozen[0].features, seen_BCHW)
        return features

    def functions(self, features: Sequence[Tensor], image_size: tuple[int, int]) -> tuple[Edit, ...]:
        """The edits, with the segmentation network's features of an image of that size, finest first, given."""

        def edit(level: int) -> Edit:
            embed, semantics = self.blocks[level], features[self._branch[level]]

            def embedded(x_BChw: Tensor) -> Tensor:
                # What the semantics cover was padded: the map's part of it lies in the upper left corner.
                h, w = (
                    -(-side * _padded(whole) // whole)
                    for side, whole in zip(x_BChw.shape[-2:], image_size, strict=True)
                )
                return embed(x_BChw, semantics, (h, w))

            return embedded

        return tuple(edit(level) for level in range(len(self.blocks)))

    def segment(self, image_BCHW: Tensor) -> Tensor:
        """Class probabilities of each pixel, B×K×H×W float32. RGB in [0, 1], any size. The image gets a gradient."""
        H, W = image_BCHW.shape[-2:]
        semantics: Semantics = self._seen(self._frozen[0], image_BCHW)
        return semantics.classes()[..., :H, :W]

    def _seen(self, network: Callable[[Tensor], Any], image_BCHW: Tensor) -> Any:
        """What the segmentation network says of images, padded by reflection to sides that suit it."""
        height, width = (_padded(side) for side in image_BCHW.shape[-2:])
        with torch.autocast(image_BCHW.device.type, enabled=False):
            return network(reflect_pad(image_BCHW.float(), height, width))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        network = self._frozen[0]
        # Where `fn` moves tensors to, without what else it may do to them: the network stays float32.
        network.to(fn(torch.empty(0, device=next(network.parameters()).device)).device)
        return super()._apply(fn, recurse)


def _padded(side: int) -> int:
    """The next multiple of HRNet's."""
    return -(-side // HRNet.size_multiple) * HRNet.size_multiple
