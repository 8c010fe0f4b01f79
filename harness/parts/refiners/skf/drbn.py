"""SKF on DRBN: W. Yang et al., "From Fidelity to Perceptual Quality: A Semi-Supervised Approach for Low-Light Image
Enhancement", CVPR 2020 (the recursive band network, its first stage), with the embeddings of arXiv 2304.07039.

Our own code, checked against sampled outputs.

Shape letters: B batch, C channels, H×W image. Bands are tuples of three maps, at full, 1/2 and 1/4 resolution.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.weights import OfficialNames
from harness.parts.refiners.skf.embedding import SemanticEmbedding
from harness.parts.refiners.skf.hrnet import Semantics

Bands = tuple[Tensor, Tensor, Tensor]


class DRBN(nn.Module):
    """Four recursions, each of which refines the result of the one before in three bands; the last knows semantics.

    The semantics are those of the third recursion's result. `semantic_channels`: widths of the segmentation network's
    features at 1/8 and 1/4 and of its logits, for the embeddings at 1/4, 1/2 and full resolution.
    Sides are multiples of 4 (of 32 with HRNet).
    """

    official = OfficialNames(
        parts={
            **{f"recur{n + 1}": f"recursions.{n}" for n in range(4)},
            **{f"fuseblk_{n + 1}": f"embed.{n}" for n in range(3)},
            **SemanticEmbedding.official.parts,
            "SFENet1": "first",
            "SFENet2": "second",
            "RDBs": "dense",
            "conv": "",
            "LFF": "merge",
            "Down1": "down1",
            "Down2": "down2",
            "Up1": "up1",
            "Up2": "up2",
            "UPNet": "result1",
            "UPNet2": "result2",
            "UPNet4": "result4",
        }
    )

    def __init__(
        self, *, width: int = 16, growth: int = 8, semantic_channels: tuple[int, int, int] = (96, 48, 59)
    ) -> None:
        super().__init__()
        plain = (Recursion(width, growth) for _ in range(3))
        self.recursions = nn.ModuleList([*plain, Recursion(width, growth, semantic_channels)])

    def forward(self, lq_BCHW: Tensor, segment: Callable[[Tensor], Semantics]) -> Bands:
        """Low-light images to results at full, 1/2 and 1/4 resolution, not clamped.

        `segment` is called once, with the third recursion's result at full resolution, not clamped.
        """
        results, features = self.fidelity(lq_BCHW)
        return self.semantic(lq_BCHW, results, features, segment(results[0]))

    def fidelity(self, lq_BCHW: Tensor) -> tuple[Bands, Bands]:
        """Results and features of the third recursion."""
        features: Bands | None = None
        result = lq_BCHW
        for recursion in self.recursions[:-1]:
            results, features = recursion(torch.cat([result, lq_BCHW], 1), features)
            result = results[0]
        assert features is not None
        return results, features

    def semantic(self, lq_BCHW: Tensor, results: Bands, features: Bands, semantics: Semantics) -> Bands:
        """Results of the fourth recursion."""
        return self.recursions[-1](torch.cat([results[0], lq_BCHW], 1), features, semantics)[0]


class Recursion(nn.Module):
    """One U through the three bands, C, C and 2C channels wide; results are added up from coarse to fine."""

    def __init__(self, width: int, growth: int, semantic_channels: tuple[int, int, int] | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        scales = (1, 1, 2, 2, 1, 1)
        self.dense = nn.ModuleList(DenseBlock(scale * width, scale * growth) for scale in scales)
        self.down1 = nn.Conv2d(width, width, 3, 2, 1)
        self.down2 = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.up1 = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.result1, self.result2, self.result4 = (_result(scale * width, width) for scale in (1, 1, 2))
        self.embed: nn.ModuleList | None = None
        if semantic_channels is not None:
            widths = (2 * width, width, width)
            self.embed = nn.ModuleList(
                SemanticEmbedding(C, S, gate="image") for C, S in zip(widths, semantic_channels, strict=True)
            )

    def forward(
        self, images_B6HW: Tensor, previous: Bands | None = None, semantics: Semantics | None = None
    ) -> tuple[Bands, Bands]:
        """[result so far, low-light image], the previous recursion's features and semantics to results and features."""
        first = F.relu(self.first(images_B6HW))
        full = F.relu(self.second(first))
        half = self.down1(self.dense[0](full))
        quarter = self.down2(self.dense[1](half))
        past: Bands | tuple[None, None, None] = previous or (None, None, None)
        knowledge: Bands | tuple[None, None, None] = (None, None, None)
        if semantics is not None:
            knowledge = (semantics.features[1], semantics.features[0], semantics.logits_BKHW)
        deep = self.dense[3](self.dense[2](quarter))
        quarter = self._joined(0, quarter + deep, past[2], knowledge[0])
        half = self._joined(1, half + self.dense[4](self.up2(quarter)), past[1], knowledge[1])
        full = self._joined(2, full + self.dense[5](self.up1(half)) + first, past[0], knowledge[2])
        result4 = self.result4(quarter)
        result2 = self.result2(half) + _twice(result4)
        result1 = self.result1(full) + _twice(result2)
        return (result1, result2, result4), (full, half, quarter)

    def _joined(self, band: int, x_BCHW: Tensor, past_BCHW: Tensor | None, semantics: Tensor | None) -> Tensor:
        if past_BCHW is not None:
            x_BCHW = x_BCHW + past_BCHW
        if self.embed is None or semantics is None:
            return x_BCHW
        return self.embed[band](x_BCHW, semantics)


class DenseBlock(nn.Module):
    """Residual dense block (Y. Zhang et al., CVPR 2018): each layer sees all before it; merged around a skip."""

    def __init__(self, channels: int, growth: int, layers: int = 4) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels + layer * growth, growth, 3, padding=1), nn.ReLU())
            for layer in range(layers)
        )
        self.merge = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        seen = x_BCHW
        for conv in self.convs:
            seen = torch.cat([seen, conv(seen)], 1)
        return x_BCHW + self.merge(seen)


def _result(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1))


def _twice(x_BCHW: Tensor) -> Tensor:
    return F.interpolate(x_BCHW, scale_factor=2, mode="bilinear")
