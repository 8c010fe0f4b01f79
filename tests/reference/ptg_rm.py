"""PTG-RM computed plainly, as the paper and a description of the released module state it, with the harness's names.

Nothing is shared, split, cached or recomputed: the prior is broadcast to a map and convolved, positions are embedded
for every image, norms rearrange to B×N×C, kernels meet unfolded neighbourhoods. The yardstick of the faster module in
harness.parts.refiners.ptg_rm: its state dict loads here, and both must give the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.reference.restormer import Block

SLOPE = 0.1


class PlainPTGRM(nn.Module):
    """Placement `image`; `head` as in PTGRM."""

    def __init__(self, prior_dim: int, *, head: str = "mask_residual", width: int = 16, long_blocks: int = 4) -> None:
        super().__init__()
        self.head = head
        self.encoder = nn.Sequential(
            nn.Conv2d(6, width, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, 2, 1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
            nn.Conv2d(width, width, 3, 2, 1, bias=False),
        )
        self.sve = PlainSVE(prior_dim, width, long_blocks)
        self.csa = PlainCSA(prior_dim, width)
        self.decoder = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, 1, 1, bias=False),
            nn.PixelShuffle(2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 4 * width, 3, 1, 1, bias=False),
            nn.PixelShuffle(2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 6 if head == "mask_residual" else 3, 3, 1, 1),
        )

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        features = self.encoder(torch.cat([initial_BCHW, lq_BCHW], 1))
        decoded = self.decoder(self.csa(self.sve(features, prior_BD), prior_BD))
        if self.head == "residual":
            return initial_BCHW.clamp(0, 1) + decoded
        return lq_BCHW + (initial_BCHW - lq_BCHW) * torch.sigmoid(decoded[:, :3]) + decoded[:, 3:]


class PlainSVE(nn.Module):
    def __init__(self, prior_dim: int, width: int, long_blocks: int) -> None:
        super().__init__()
        self.prior = prior_map(prior_dim)
        self.position = position_embedding(width)
        self.score = nn.Sequential(
            nn.Conv2d(2 * width + 64, width, 3, 1, 1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 1, 3, 1, 1, bias=False),
            nn.Sigmoid(),
        )
        self.long = nn.Sequential(*(Block(width, 1, 2.66) for _ in range(long_blocks)))
        self.short = Short(width)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        M = self.score(beside(f_BChw, self.prior(prior_BD), self.position))
        return self.long(f_BChw) * M + self.short(f_BChw) * (1 - M)


class PlainCSA(nn.Module):
    def __init__(self, prior_dim: int, width: int) -> None:
        super().__init__()
        self.prior = prior_map(prior_dim)
        self.position = position_embedding(width)
        self.channel = nn.Sequential(
            nn.Linear(width + 64, width, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, width, bias=False),
            nn.Sigmoid(),
        )
        self.kernels = nn.Sequential(
            nn.Conv2d(2 * width + 64, 9 * width, 3, 1, 1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(9 * width, 9 * width, 3, 1, 1, bias=False),
        )
        self.spatial = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(width, 1, 3, 1, 1, bias=False), nn.Sigmoid())
        self.merge = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        mapped = self.prior(prior_BD)
        pooled = F.adaptive_avg_pool2d(f_BChw, 1).flatten(1)
        M_c = self.channel(torch.cat([pooled, mapped], 1))[:, :, None, None]
        M_s = self.spatial(unfolded_filter(f_BChw, self.kernels(beside(f_BChw, mapped, self.position))))
        return self.merge(torch.cat([f_BChw * M_c, f_BChw * M_s], 1)) + f_BChw


class Short(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.relu(self.conv1(x_BCHW)))


def prior_map(prior_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(prior_dim, 256, bias=False), nn.LeakyReLU(SLOPE), nn.Linear(256, 64, bias=False))


def position_embedding(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, width, 3, 1, 1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
    )


def beside(f_BChw: Tensor, mapped_BT: Tensor, position: nn.Module) -> Tensor:
    """[f, T(g) at every position, P(S) for every image]."""
    B, _, h, w = f_BChw.shape
    rows = torch.linspace(-1, 1, h, device=f_BChw.device, dtype=f_BChw.dtype).view(1, 1, h, 1).expand(B, 1, h, w)
    columns = torch.linspace(-1, 1, w, device=f_BChw.device, dtype=f_BChw.dtype).view(1, 1, 1, w).expand(B, 1, h, w)
    prior_map_BThw = mapped_BT[:, :, None, None].repeat(1, 1, h, w)
    return torch.cat([f_BChw, prior_map_BThw, position(torch.cat([rows, columns], 1))], 1)


def unfolded_filter(x_BCHW: Tensor, kernels_BKHW: Tensor) -> Tensor:
    """Each channel's 3×3 neighbourhood at each position, laid out by unfold, times its own kernel."""
    B, C, H, W = x_BCHW.shape
    windows = F.unfold(F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate"), 3).view(B, C, 9, H, W)
    return (windows * kernels_BKHW.view(B, C, 9, H, W)).sum(2)
