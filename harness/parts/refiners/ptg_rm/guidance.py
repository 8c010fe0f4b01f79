"""How PTG-RM's prior meets the features: PTG-SVE, PTG-CSA, and the concatenations that ablate them.

Shape letters: B batch, D prior width, T width of the mapped prior, C latent channels, h×w latent. Maps keep their
channels last in memory, which a CPU's convolutions want (harness.parts.ops.fused).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from harness.api.prior import PriorDim
from harness.parts.ops.fused import dynamic_filter, wide_convolution
from harness.parts.refiners.ptg_rm.ablations import Joined, Range, Spatial
from harness.parts.shared.blocks import ResidualBlock, TransformerBlock, position_grid

SLOPE = 0.1
GRID = 4
"""Sides of the coarse map into which `concat_2d` turns a prior vector."""
SCORED = ("score", "mean_score")
"""Sources of M that are learned."""


class Guided(nn.Module):
    """Features beside the mapped prior T(g) and the position embedding P(S), where there are such.

    `prior_widths` are D, the hidden width and T; None leaves the prior out.
    """

    def __init__(self, width: int, prior_widths: tuple[int, int, int] | None, *, positions: bool) -> None:
        super().__init__()
        self.prior = _prior_map(*prior_widths) if prior_widths else None
        self.position = _position_embedding(width) if positions else None
        self.mapped_width = prior_widths[-1] if prior_widths else 0
        self.beside_width = width + self.mapped_width + (width if positions else 0)

    def mapped(self, prior_BD: Tensor) -> Tensor:
        """T(g), B×T; nothing wide where the prior is left out."""
        return prior_BD[:, :0] if self.prior is None else self.prior(prior_BD)

    def convolve(self, weight: Tensor, f_BChw: Tensor, mapped_BT: Tensor) -> Tensor:
        """A 3×3 convolution without bias over [f, T(g) at every position, P(S)].

        A convolution is linear, so each of the three is convolved on its own: P(S) once for the whole batch, and the
        constant map of T(g) on a 3×3 map that holds all it can give, borders included.
        """
        _, C, h, w = f_BChw.shape
        widths = [C, self.mapped_width, weight.shape[1] - C - self.mapped_width]
        of_features, of_prior, of_position = weight.split(widths, 1)
        result = F.conv2d(f_BChw, of_features, padding=1)
        if self.prior is not None:
            result += _convolve_constant(mapped_BT, of_prior, h, w)
        if self.position is not None:
            grid_12hw = position_grid(h, w, like=mapped_BT).contiguous(memory_format=torch.channels_last)
            result += F.conv2d(self.position(grid_12hw), of_position, padding=1)
        return result


class SVE(Guided):
    """PTG-SVE, eq. 2–3: the prior decides at each position between a short and a long range of neighbours.

    M = sigmoid(R_m([f, T_m(g), S_m])) is the range score, f̂ = M·R_l(f) + (1 − M)·R_s(f). With `source` "mean_score", M
    is the score's mean over all positions; with "snr", one minus the SNR map; with "sum", f̂ = R_l(f) + R_s(f). Training
    recomputes R_l's blocks in the backward pass: they hold half of the module's memory for a twentieth of its time.
    """

    def __init__(
        self,
        width: int,
        prior_widths: tuple[int, int, int] | None,
        long_blocks: int,
        *,
        source: Range = "score",
        positions: bool = True,
    ) -> None:
        scored = source in SCORED
        super().__init__(width, prior_widths if scored else None, positions=positions and scored)
        self.source = source
        if scored:
            self.score = nn.Sequential(
                nn.Conv2d(self.beside_width, width, 3, padding=1, bias=False),
                nn.LeakyReLU(SLOPE, inplace=True),
                nn.Conv2d(width, 1, 3, padding=1, bias=False),
                nn.Sigmoid(),
            )
        self.long = nn.Sequential(*(TransformerBlock(width, 1, 2.66) for _ in range(long_blocks)))
        self.short = ResidualBlock(width)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor, snr_B1hw: Tensor | None = None) -> Tensor:
        """`snr_B1hw`, in [0, 1], is needed by `source` "snr" alone."""
        long, short = self._long_range(f_BChw), self.short(f_BChw)
        if self.source == "sum":
            return long + short
        if self.source in SCORED:
            M = self.score[1:](self.convolve(self.score[0].get_parameter("weight"), f_BChw, self.mapped(prior_BD)))
            M = M.mean((-2, -1), keepdim=True) if self.source == "mean_score" else M
        else:
            assert snr_B1hw is not None
            M = 1 - snr_B1hw
        return short + (long - short) * M

    def _long_range(self, x_BChw: Tensor) -> Tensor:
        for block in self.long:
            if torch.is_grad_enabled():
                x_BChw = checkpoint(block, x_BChw, use_reentrant=False, preserve_rng_state=False)
            else:
                x_BChw = block(x_BChw)
        return x_BChw


class CSA(Guided):
    """PTG-CSA, eq. 4–7: channel attention and spatial attention led by the prior, merged.

    Channel: M_c = sigmoid(R_c([mean(f̂), T_c(g)])). Spatial: C_p = R_p([f̂, T_c(g), S_c]) holds a 3×3 kernel for each
    channel and position; M_s = sigmoid(R_o(f̂ ∗ C_p)), one channel. Merged: R_f([f̂·M_c, f̂·M_s]) + f̂.

    Without `channel`, M_c is one. `spatial` "plain" makes M_s = sigmoid(R_o(f̂)), "none" one.
    """

    def __init__(
        self,
        width: int,
        prior_widths: tuple[int, int, int] | None,
        *,
        channel: bool = True,
        spatial: Spatial = "kernels",
        positions: bool = True,
    ) -> None:
        super().__init__(width, prior_widths, positions=positions and spatial == "kernels")
        self.channel = self.kernels = self.spatial = None
        if channel:
            self.channel = nn.Sequential(
                nn.Linear(width + self.mapped_width, width, bias=False),
                nn.LeakyReLU(SLOPE),
                nn.Linear(width, width, bias=False),
                nn.Sigmoid(),
            )
        if spatial == "kernels":
            self.kernels = nn.Sequential(
                nn.Conv2d(self.beside_width, 9 * width, 3, padding=1, bias=False),
                nn.LeakyReLU(SLOPE, inplace=True),
                nn.Conv2d(9 * width, 9 * width, 3, padding=1, bias=False),
            )
        if spatial != "none":
            self.spatial = nn.Sequential(
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(width, 1, 3, padding=1, bias=False),
                nn.Sigmoid(),
            )
        self.merge = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        mapped_BT = self.mapped(prior_BD)
        by_channel = by_place = f_BChw
        if self.channel is not None:
            M_c = self.channel(torch.cat([f_BChw.mean((-2, -1)), mapped_BT], 1))
            by_channel = f_BChw * M_c[:, :, None, None]
        if self.spatial is not None:
            filtered = f_BChw
            if self.kernels is not None:
                hidden = self.kernels[1](self.convolve(self.kernels[0].get_parameter("weight"), f_BChw, mapped_BT))
                filtered = dynamic_filter(f_BChw, wide_convolution(hidden, self.kernels[2].get_parameter("weight")))
            by_place = f_BChw * self.spatial(filtered)
        return self.merge(torch.cat([by_channel, by_place], 1)) + f_BChw


class VectorBeside(Guided):
    """Ablation `concat_1d`: a 3×3 convolution over [f, T(g) at every position], B×C×h×w to the same."""

    def __init__(self, width: int, prior_widths: tuple[int, int, int]) -> None:
        super().__init__(width, prior_widths, positions=False)
        self.mix = nn.Conv2d(self.beside_width, width, 3, padding=1, bias=False)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        return self.convolve(self.mix.weight, f_BChw, self.mapped(prior_BD))


class MapBeside(nn.Module):
    """Ablation `concat_2d`: a 3×3 convolution over [f, T(g) at each position of the prior's map], B×C×h×w to the same.

    `dim`: D, rows and columns of the prior's map, whose flattened rows `forward` gets. The vector at each of its
    positions is made of length 1, as a prior's vector is, and mapped by the two layers of T; the result is resized
    bilinearly to the features' size.
    """

    def __init__(self, width: int, dim: tuple[int, int, int], hidden: int, mapped: int) -> None:
        super().__init__()
        self.shape = dim
        self.prior = _prior_map(dim[0], hidden, mapped)
        self.mix = nn.Conv2d(width + mapped, width, 3, padding=1, bias=False)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        vectors_BghD = F.normalize(prior_BD.unflatten(1, self.shape), dim=1).permute(0, 2, 3, 1)
        mapped_BTgh = self.prior(vectors_BghD).permute(0, 3, 1, 2)
        return self.mix(torch.cat([f_BChw, _resized(mapped_BTgh, f_BChw)], 1))


class VectorAsMap(nn.Module):
    """Ablation `concat_2d` of a prior that gives vectors: a 3×3 convolution over [f, a map made from g].

    Our reading for priors that have no map: the 2-D form is learned. The two layers of T give a coarse GRID×GRID map of
    C channels, which is resized bilinearly. B×C×h×w to the same.
    """

    def __init__(self, width: int, prior_widths: tuple[int, int, int]) -> None:
        super().__init__()
        dim, hidden, _ = prior_widths
        self.prior = _prior_map(dim, hidden, width * GRID * GRID)
        self.mix = nn.Conv2d(2 * width, width, 3, padding=1, bias=False)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        grid_BCGG = self.prior(prior_BD).unflatten(1, (-1, GRID, GRID))
        return self.mix(torch.cat([f_BChw, _resized(grid_BCGG, f_BChw)], 1))


def _resized(map_BTgh: Tensor, f_BChw: Tensor) -> Tensor:
    """A map, bilinearly at the features' size, B×T×h×w.

    By matrices of weights, since a GPU's own backward pass of F.interpolate is not deterministic.
    """
    rows_hg, columns_wg = (
        _interpolating(old, new, like=map_BTgh) for old, new in zip(map_BTgh.shape[-2:], f_BChw.shape[-2:], strict=True)
    )
    return rows_hg @ map_BTgh @ columns_wg.T


def _interpolating(old: int, new: int, like: Tensor) -> Tensor:
    """new×old weights of linear interpolation."""
    corners = torch.eye(old, device=like.device, dtype=like.dtype)
    return F.interpolate(corners[None], size=new, mode="linear")[0].T


def join(kind: Joined, width: int, dim: PriorDim, hidden: int, mapped: int) -> nn.Module | None:
    """What concatenates the prior with R_e's features, where an ablation does so. `dim` as PTGRM's `prior_dim`."""
    if kind == "no":
        return None
    if isinstance(dim, tuple):
        return MapBeside(width, dim, hidden, mapped)
    return (VectorBeside if kind == "vector" else VectorAsMap)(width, (dim, hidden, mapped))


def _prior_map(dim: int, hidden: int, out: int) -> nn.Sequential:
    """T_m or T_c: the prior vector to the width at which it joins the features."""
    return nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.LeakyReLU(SLOPE), nn.Linear(hidden, out, bias=False))


def _position_embedding(width: int) -> nn.Sequential:
    """P: two coordinates to `width` channels."""
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
    )


def _convolve_constant(value_BT: Tensor, weight: Tensor, h: int, w: int) -> Tensor:
    """3×3 convolution, zeros beyond the borders, of a map that has one value everywhere: B×O×h×w.

    Inside, all results are the same, and so they are along each border: a map of at most 3×3 has them all.
    """
    small = value_BT[:, :, None, None].expand(-1, -1, min(h, 3), min(w, 3))
    result_BhwO = F.conv2d(small, weight, padding=1).permute(0, 2, 3, 1)
    for side, size in ((1, h), (2, w)):
        if size > 3:
            first, inside, last = result_BhwO.split(1, side)
            shape = list(inside.shape)
            shape[side] = size - 2
            result_BhwO = torch.cat([first, inside.expand(shape), last], side)
    return result_BhwO.permute(0, 3, 1, 2)
