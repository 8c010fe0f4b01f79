"""How PTG-RM's prior meets the features: PTG-SVE and PTG-CSA.

Shape letters: B batch, D prior width, T width of the mapped prior, C latent channels, h×w latent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from harness.parts.ops import forms
from harness.parts.ops.defined import dynamic_filter
from harness.parts.refiners.ptg_rm.ablations import Range, Spatial
from harness.parts.shared.blocks import ResidualBlock, TransformerBlock, position_grid

SLOPE = 0.1
HELD = 33
"""Numbers that autograd keeps of one transformer block for each number of its input."""
SHARE = 0.1
"""Of a GPU's memory, what R_l's blocks may hold together."""
SCORED = ("score", "mean_score")
"""Sources of M that are learned."""


class Guided(nn.Module):
    """Features beside the mapped prior T(g) and the position embedding P(S), where there are such.

    `prior_widths` are D, the hidden width and T; None leaves the prior out.
    """

    def __init__(self, width: int, prior_widths: tuple[int, int, int] | None, *, positions: bool) -> None:
        super().__init__()
        self.prior = prior_map(*prior_widths) if prior_widths else None
        self.position = _position_embedding(width) if positions else None
        self.mapped_width = prior_widths[-1] if prior_widths else 0
        self.beside_width = width + self.mapped_width + (width if positions else 0)

    def mapped(self, prior_BD: Tensor) -> Tensor:
        """T(g), B×T; nothing wide where the prior is left out."""
        return prior_BD[:, :0] if self.prior is None else self.prior(prior_BD)

    def convolve(self, weight: Tensor, f_BChw: Tensor, mapped_BT: Tensor) -> Tensor:
        """A 3×3 convolution without bias over [f, T(g) at every position, P(S)]."""
        if forms.lean_as_laid("guided_convolution", f_BChw):
            return self._convolve_apart(weight, f_BChw, mapped_BT)
        B, _, h, w = f_BChw.shape
        beside = [f_BChw]
        if self.prior is not None:
            beside.append(mapped_BT[:, :, None, None].expand(-1, -1, h, w))
        if self.position is not None:
            beside.append(self.position(position_grid(h, w, like=mapped_BT)).expand(B, -1, -1, -1))
        return F.conv2d(torch.cat(beside, 1), weight, padding=1)

    def _convolve_apart(self, weight: Tensor, f_BChw: Tensor, mapped_BT: Tensor) -> Tensor:
        """The lean form. A convolution is linear, so each of the three is convolved on its own: P(S) once for the whole
        batch, and the constant map of T(g) on a 3×3 map that holds all it can give, borders included."""
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
    is the score's mean over all positions; with "snr", one minus the SNR map; with "sum", f̂ = R_l(f) + R_s(f).
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
        if not _computed_again(x_BChw, len(self.long)):
            return self.long(x_BChw)
        for block in self.long:
            x_BChw = checkpoint(block, x_BChw, use_reentrant=False, preserve_rng_state=False, context_fn=forms.as_now)
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
                filtered = dynamic_filter(f_BChw, self.kernels[2](hidden))
            by_place = f_BChw * self.spatial(filtered)
        return self.merge(torch.cat([by_channel, by_place], 1)) + f_BChw


def _computed_again(x_BChw: Tensor, blocks: int) -> bool:
    """Whether training computes R_l's blocks again in the backward pass, so that they hold less.

    They hold half of the module's memory. Lean on a CPU, where they take a twentieth of its time. Elsewhere where they
    would hold more than SHARE of the device's memory; never in a graph of torch.compile, which chooses itself.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if forms.lean_as_laid("recomputation", x_BChw):
        return True
    held = HELD * x_BChw.numel() * x_BChw.element_size() * blocks
    return held > SHARE * _memory(x_BChw.device)


def _memory(device: torch.device) -> float:
    """Bytes of a GPU's memory; no limit for other devices."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return float("inf")
    return torch.cuda.get_device_properties(device).total_memory


def prior_map(dim: int, hidden: int, out: int) -> nn.Sequential:
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
