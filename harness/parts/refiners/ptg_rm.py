"""PTG-RM: "Boosting Image Restoration via Priors from Pre-trained Models", CVPR 2024, arXiv 2403.06793.

A module R below a million parameters that refines the initial restoration Î = F(I_d) of any network F with one prior
vector g an image. Equation numbers are the paper's. Our own code, checked against sampled outputs of the released
module.

Shape letters: B batch, D prior width, T width of the mapped prior, C latent channels, H×W image, h×w = H/4×W/4 latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.api.reference import Placement
from harness.parts.blocks import ChannelLayerNorm, ResidualBlock, TransformerBlock, dynamic_filter, position_grid

VERSION = 1

SLOPE = 0.1
MASK_LOGIT = 3.0
"""Starting bias of the mask's logits: I_m begins at 0.95."""


class PTGRM(nn.Module):
    """Encoder R_e, spatial-varying enhancement (SVE), channel-spatial attention (CSA), decoder R_d.

    Sides are multiples of 4. `head`:

    - `mask_residual`, the paper's eq. 1: Ī = I_d + (Î − I_d)·I_m + I_r. The paper leaves open how I_m is confined and
      how many channels it has; here it passes a sigmoid and has the image's three channels.
    - `residual`, as released: Ī = clamp(Î, 0, 1) + I_r.

    Everything before the head follows the released code where it and the paper differ: CSA adds its input to the merged
    features, and M weighs the long range (which is the same family of functions, as R_m may learn either sign).
    `width` is C, `long_blocks` the transformer blocks of R_l, `prior_hidden` and `prior_width` the two layers that map
    the prior. With the defaults and D = 512 the `residual` head has the released 671,735 parameters.

    At the start Ī is close to Î, so that R neither disturbs the joint training of F nor starts below a frozen F: the
    last convolution has a tenth of its usual weights and no bias, and I_m begins near one. It is not zero, so that
    gradients reach all of R from the first step.

    Placement `features` (the paper's `-f`; given `channels`, those of F's deepest tap) puts R on that tap's map f:
    f·I_m + I_r, or f + I_r with the head `residual`, with a mask and a residual of f's shape. The paper says no more of
    it. Here R_e and R_d keep the resolution, which is low already, and norm over the channels of each position, since
    the deepest map of a small image may be one position large.
    """

    placements: ClassVar[tuple[Placement, ...]] = ("image", "features")

    size_multiple = 4

    official_names: ClassVar[Mapping[str, str]] = {
        "r1": "encoder.0",
        "r1norm": "encoder.1",
        "r2": "encoder.3",
        "r2norm": "encoder.4",
        "r22": "encoder.5",
        "mapp_space1": "sve.prior.0",
        "mapp_space2": "sve.prior.2",
        "mapp_position1": "sve.position.0",
        "mapp_position2": "sve.position.2",
        "r1_mask": "sve.score.0",
        "r2_mask": "sve.score.2",
        "transformer": "sve.long",
        "resnet": "sve.short",
        "mapp_space11": "csa.prior.0",
        "mapp_space22": "csa.prior.2",
        "mapp_position11": "csa.position.0",
        "mapp_position22": "csa.position.2",
        "mapping11": "csa.channel.0",
        "mapping12": "csa.channel.2",
        "mapp11": "csa.kernels.0",
        "mapp12": "csa.kernels.2",
        "mapp1": "csa.spatial.1",
        "refine11": "csa.merge",
        "r1_decoder": "decoder.0",
        "r2_decoder": "decoder.3",
        "conv_last2": "decoder.6",
        "conv_last3": "decoder.8",
        "body": "",
    }
    """Parameter names of the released `refinement2`, part by part, as they read here (harness.models.weights)."""

    def __init__(
        self,
        prior_dim: int,
        channels: int | None = None,
        *,
        head: Literal["mask_residual", "residual"] = "mask_residual",
        width: int = 16,
        long_blocks: int = 4,
        prior_hidden: int = 256,
        prior_width: int = 64,
    ) -> None:
        super().__init__()
        self.head = head
        self.encoder = _image_encoder(width) if channels is None else _feature_encoder(channels, width)
        prior_widths = (prior_dim, prior_hidden, prior_width)
        self.sve = SVE(width, prior_widths, long_blocks)
        self.csa = CSA(width, prior_widths)
        self.decoder = _decoder(width, channels or 3, head, of_image=channels is None)
        self._start_near_initial()

    @torch.no_grad()
    def _start_near_initial(self) -> None:
        *_, weight, bias = self.decoder.parameters()
        weight.mul_(0.1)
        bias.zero_()
        if self.head == "mask_residual":
            bias[: len(bias) // 2] = MASK_LOGIT

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        """I_d in [0, 1], Î (not clamped) and g to the refined restoration Ī, not clamped."""
        decoded = self._decoded(torch.cat([initial_BCHW, lq_BCHW], 1), prior_BD)
        if self.head == "residual":
            return initial_BCHW.clamp(0, 1) + decoded
        mask_logits, residual = decoded.chunk(2, dim=1)
        return lq_BCHW + (initial_BCHW - lq_BCHW) * mask_logits.sigmoid() + residual

    def edit(self, features_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        """Placement `features`: the deepest map of F, refined."""
        decoded = self._decoded(features_BChw, prior_BD)
        if self.head == "residual":
            return features_BChw + decoded
        mask_logits, residual = decoded.chunk(2, dim=1)
        return features_BChw * mask_logits.sigmoid() + residual

    def _decoded(self, given_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(self.csa(self.sve(self.encoder(given_BCHW), prior_BD), prior_BD))
        return decoded


class SVE(nn.Module):
    """PTG-SVE, eq. 2–3: the prior decides at each position between a short and a long range of neighbours.

    M = sigmoid(R_m([f, T_m(g), S_m])) is the range score, f̂ = M·R_l(f) + (1 − M)·R_s(f).
    """

    def __init__(self, width: int, prior_widths: tuple[int, int, int], long_blocks: int) -> None:
        super().__init__()
        self.prior = _prior_map(*prior_widths)
        self.position = _position_embedding(width)
        self.score = nn.Sequential(
            nn.Conv2d(2 * width + prior_widths[-1], width, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 1, 3, padding=1, bias=False),
            nn.Sigmoid(),
        )
        self.long = nn.Sequential(*(TransformerBlock(width, 1, 2.66) for _ in range(long_blocks)))
        self.short = ResidualBlock(width)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        M = self.score(_beside(f_BChw, self.prior(prior_BD), self.position))
        return self.long(f_BChw) * M + self.short(f_BChw) * (1 - M)


class CSA(nn.Module):
    """PTG-CSA, eq. 4–7: channel attention and spatial attention led by the prior, merged.

    Channel: M_c = sigmoid(R_c([mean(f̂), T_c(g)])). Spatial: C_p = R_p([f̂, T_c(g), S_c]) holds a 3×3 kernel for each
    channel and position; M_s = sigmoid(R_o(f̂ ∗ C_p)), one channel. Merged: R_f([f̂·M_c, f̂·M_s]) + f̂.
    """

    def __init__(self, width: int, prior_widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.prior = _prior_map(*prior_widths)
        self.position = _position_embedding(width)
        self.channel = nn.Sequential(
            nn.Linear(width + prior_widths[-1], width, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, width, bias=False),
            nn.Sigmoid(),
        )
        self.kernels = nn.Sequential(
            nn.Conv2d(2 * width + prior_widths[-1], 9 * width, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(9 * width, 9 * width, 3, padding=1, bias=False),
        )
        self.spatial = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 1, 3, padding=1, bias=False),
            nn.Sigmoid(),
        )
        self.merge = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, f_BChw: Tensor, prior_BD: Tensor) -> Tensor:
        mapped_BT = self.prior(prior_BD)
        M_c = self.channel(torch.cat([f_BChw.mean((-2, -1)), mapped_BT], 1))[:, :, None, None]
        C_p = self.kernels(_beside(f_BChw, mapped_BT, self.position))
        M_s = self.spatial(dynamic_filter(f_BChw, C_p))
        return self.merge(torch.cat([f_BChw * M_c, f_BChw * M_s], 1)) + f_BChw


def _prior_map(dim: int, hidden: int, out: int) -> nn.Sequential:
    """T_m or T_c: the prior vector to the width at which it joins the features."""
    return nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.LeakyReLU(SLOPE), nn.Linear(hidden, out, bias=False))


def _position_embedding(width: int) -> nn.Sequential:
    """P: two coordinates to `width` channels."""
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
    )


def _beside(f_BChw: Tensor, mapped_BT: Tensor, position: nn.Module) -> Tensor:
    """[features, mapped prior at every position, position embedding], B×(2C+T)×h×w."""
    B, _, h, w = f_BChw.shape
    # The embedding is the same for every image: computed once a batch.
    positions = position(position_grid(h, w, like=mapped_BT)).expand(B, -1, -1, -1)
    return torch.cat([f_BChw, mapped_BT[:, :, None, None].expand(-1, -1, h, w), positions], 1)


def _image_encoder(width: int) -> nn.Sequential:
    """R_e: [Î, I_d] to the latent at a quarter of the size."""
    return nn.Sequential(
        nn.Conv2d(6, width, 3, padding=1, bias=False),
        nn.InstanceNorm2d(width, affine=True),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
        nn.InstanceNorm2d(width, affine=True),
        nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
    )


def _feature_encoder(channels: int, width: int) -> nn.Sequential:
    """R_e on a feature map: to the latent, at the map's size."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        ChannelLayerNorm(width),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
    )


def _decoder(width: int, made: int, head: str, *, of_image: bool) -> nn.Sequential:
    """R_d: the latent to `made` channels of residual, behind as many of the mask's logits; ×4 for an image."""
    widen: list[nn.Module] = []
    for _ in range(2 if of_image else 0):
        widen += [nn.Conv2d(width, 4 * width, 3, padding=1, bias=False), nn.PixelShuffle(2), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(
        *widen,
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, 2 * made if head == "mask_residual" else made, 3, padding=1),
    )
