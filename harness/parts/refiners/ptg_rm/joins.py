"""How PTG-RM's ablations concatenate the prior with R_e's features, in place of what PTG-SVE and PTG-CSA do with it.

Shape letters: B batch, D prior width, T width of the mapped prior, C latent channels, h×w latent, G×G a coarse map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.prior import PriorDim
from harness.parts.refiners.ptg_rm.ablations import Joined
from harness.parts.refiners.ptg_rm.guidance import Guided, prior_map

GRID = 4
"""Sides of the coarse map into which `concat_2d` turns a prior vector."""


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
        self.prior = prior_map(dim[0], hidden, mapped)
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
        self.prior = prior_map(dim, hidden, width * GRID * GRID)
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
