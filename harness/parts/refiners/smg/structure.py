"""SMG's structure network (SAG): edges of the bright image, from the dark one. Paper: arXiv 2305.05839 (section 3.2).

An encoder that looks at features and at their differences from all sides guides a StyleGAN2 generator of edge maps. Our
own code, checked against sampled outputs; the window transformer is Uformer's, from spandrel (MIT).

Shape letters: B batch, C channels, S style width, L styled layers, H×W features at some level, h×w = H/2×W/2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from spandrel.architectures.Uformer.__arch.Uformer import BasicUformerLayer, Downsample, InputProj, OutputProj
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.stylegan import (
    ConvLayer,
    EqualLinear,
    ModulatedConv2d,
    PixelNorm,
    StyledConv,
    Upsample,
)
from harness.parts.shared.windows import keep_on_device

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1))
"""(row, column) steps to the neighbour of each branch but the first, in the published order."""

COARSEST = 4
"""Side of the smallest features."""


class Edges(NamedTuple):
    """Edge map in (0, 1) and the style vectors of all layers, which are all alike."""

    map_B1HW: Tensor
    styles_BLS: Tensor


class StructureNet(nn.Module):
    """Grey low-light images of one size to edge maps.

    `size` is the side, a power of two. `multiplier` widens the levels at 64 and above, `narrow` scales all widths.
    In training the two layers of full resolution draw fresh noise, as published. In evaluation they get none, so that
    the same image always gives the same edges (the published network draws then too).
    Raises HarnessError for a size that does not fit.
    """

    def __init__(
        self, *, size: int = 512, style_dim: int = 512, mlp_layers: int = 8, multiplier: int = 2, narrow: float = 1.0
    ) -> None:
        super().__init__()
        if size < 2 * COARSEST or size & (size - 1):
            raise HarnessError(f"SMG's structure network takes a power of two from 8 up as `size`, not {size}")
        self.size = size
        sides = [COARSEST << level for level in range((size // COARSEST).bit_length())]
        channels = {side: int(min(64, 2048 * multiplier // side) * narrow) for side in sides}
        self.encoder = StructureEncoder(channels, style_dim)
        self.generator = EdgeGenerator(channels, style_dim, mlp_layers)
        keep_on_device(self)

    def forward(self, grey_B1HW: Tensor) -> Edges:
        if grey_B1HW.shape[-2:] != (self.size, self.size):
            height, width = grey_B1HW.shape[-2:]
            raise HarnessError(f"SMG's structure network was built for {self.size}×{self.size}, not {height}×{width}")
        guides, style_BS = self.encoder(grey_B1HW)
        return self.generator(guides, style_BS)


class StructureEncoder(nn.Module):
    """Grey image to guiding features, from the coarsest to half the image's sides, and a style vector.

    `channels` by side, from 4 to the image's. Each level has a plain half-size convolution, which alone goes on
    downwards, and a block that looks at structure.
    """

    official = OfficialNames(
        parts={
            "ecd0": "embed",
            **{f"ecd{n}": f"plain.{n - 1}" for n in range(1, 9)},
            **{f"ecd2{n}": f"structure.{n - 1}" for n in range(1, 9)},
            **{
                f"{name}{n}": f"branches.{n}.{name}"
                for n in range(len(NEIGHBOURS) + 1)
                for name in ("conv", "input_proj", "transformer", "downsample", "output_proj", "fusion")
            },
            "final_linear": "style",
        }
    )

    def __init__(self, channels: Mapping[int, int], style_dim: int) -> None:
        super().__init__()
        fine, *coarser = sorted(channels, reverse=True)
        self.embed = nn.Sequential(ConvLayer(1, channels[fine], 1))
        self.plain, self.structure = nn.ModuleList(), nn.ModuleList()
        for level, side in enumerate(coarser):
            before, after = channels[2 * side], channels[side]
            halved = ConvLayer(before, after, 3, halve=True)
            self.plain.append(nn.Sequential(halved, nn.InstanceNorm2d(after)))
            self.structure.append(nn.Sequential(StructureBlock(before, after, side, level), nn.InstanceNorm2d(after)))
        self.style = nn.Sequential(EqualLinear(COARSEST**2 * channels[COARSEST], style_dim, leaky=True))

    def forward(self, grey_B1HW: Tensor) -> tuple[list[Tensor], Tensor]:
        x = self.embed(grey_B1HW)
        guides = []
        for plain, structure in zip(self.plain, self.structure, strict=True):
            structured = structure(x)
            x = plain(x)
            guides.append(x + structured)
        return guides[::-1], self.style(x.flatten(1))


class StructureBlock(nn.Module):
    """Features and their differences from each of the eight neighbours, each through a branch, summed.

    B×C×H×W to B×C'×h×w; `side` is h, `level` counts from the finest.
    """

    def __init__(self, channels: int, out: int, side: int, level: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(channels, out, side, level) for _ in range(len(NEIGHBOURS) + 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        plain, *branches = self.branches
        total = plain(x_BCHW)
        for branch, step in zip(branches, NEIGHBOURS, strict=True):
            total = total + branch(difference(x_BCHW, step))
        return total


def difference(x_BCHW: Tensor, step: tuple[int, int]) -> Tensor:
    """Each position minus its neighbour, taken where all neighbours exist and stretched to the full size again."""
    H, W = x_BCHW.shape[-2:]
    row, column = step
    neighbour = x_BCHW[..., 1 + row : H - 1 + row, 1 + column : W - 1 + column]
    return F.interpolate(x_BCHW[..., 1:-1, 1:-1] - neighbour, size=(H, W), mode="nearest")


class Branch(nn.Module):
    """A convolution and a window transformer side by side, each to half the sides, then mixed at each position."""

    def __init__(self, channels: int, out: int, side: int, level: int) -> None:
        super().__init__()
        window = 8 if level < 5 else 4
        heads = (1, 2, 4)[min(level, 2)]
        self.conv = ConvLayer(channels, out, 3, halve=True)
        self.input_proj = InputProj(channels, channels)
        # Told the sides it will have after halving, as published: smaller windows and fewer shifts at the coarse end.
        self.transformer = BasicUformerLayer(channels, channels, (side, side), 2, heads, window, token_mlp="leff")
        self.downsample = Downsample(channels, channels)
        self.output_proj = OutputProj(channels, out)
        self.fusion = ConvLayer(2 * out, out, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        tokens = self.downsample(self.transformer(self.input_proj(x_BCHW)))
        return self.fusion(torch.cat([self.conv(x_BCHW), self.output_proj(tokens)], 1))


class EdgeGenerator(nn.Module):
    """Style vector and guides, coarse to fine, to an edge map; each level corrects the one before, doubled.

    Module names are the published ones.
    """

    def __init__(self, channels: Mapping[int, int], style_dim: int, mlp_layers: int) -> None:
        super().__init__()
        mapping = (EqualLinear(style_dim, style_dim, rate=0.01, leaky=True) for _ in range(mlp_layers))
        self.style = nn.Sequential(PixelNorm(), *mapping)
        coarsest, *finer = sorted(channels)
        self.input = Constant(channels[coarsest], coarsest)
        self.conv1 = StyledConv(channels[coarsest], channels[coarsest], style_dim)
        self.to_rgb1 = ToEdges(2 * channels[coarsest], style_dim)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for side in finer:
            width = channels[side]
            self.convs.append(StyledConv(2 * channels[side // 2], width, style_dim, double=True))
            self.convs.append(StyledConv(2 * width, width, style_dim))
            self.to_rgbs.append(ToEdges(2 * width, style_dim, corrects=True))

    def forward(self, guides: Sequence[Tensor], style_BS: Tensor) -> Edges:
        """`guides`: one per level but the last, which has none."""
        style_BS = self.style(style_BS)
        x = self.conv1(self.input(len(style_BS)), style_BS, guides[0])
        edges = self.to_rgb1(x, style_BS)
        levels = zip(self.convs[::2], self.convs[1::2], self.to_rgbs, [*guides[1:], None], strict=True)
        for first, second, to_edges, guide in levels:
            x = second(first(x, style_BS, guide), style_BS, guide)
            edges = to_edges(x, style_BS, edges)
        return Edges(edges, style_BS[:, None].expand(-1, len(self.convs) + 2, -1))


class Constant(nn.Module):
    """The learned features that every image starts from."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, side, side))

    def forward(self, batch: int) -> Tensor:
        return self.input.expand(batch, -1, -1, -1)


class ToEdges(nn.Module):
    """Features to edges in (0, 1); with `corrects`, logits are added to the edges of the coarser level, doubled."""

    def __init__(self, channels: int, style_dim: int, *, corrects: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(channels, 1, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 1, 1, 1))
        self.upsample = Upsample() if corrects else None

    def forward(self, x_BCHW: Tensor, style_BS: Tensor, coarser_B1hw: Tensor | None = None) -> Tensor:
        logits = self.conv(x_BCHW, style_BS) + self.bias
        if self.upsample is not None:
            logits = logits + self.upsample(coarser_B1hw)
        return logits.sigmoid()
