"""PTG-RM: "Boosting Image Restoration via Priors from Pre-trained Models", CVPR 2024, arXiv 2403.06793.

A module R below a million parameters that refines the initial restoration Î = F(I_d) of any network F with one prior
vector g per image. Equation numbers are the paper's. Our own code, checked against sampled outputs of the released
module.

Shape letters: B batch, D prior width, T width of the mapped prior, C latent channels, H×W image, h×w = H/4×W/4 latent.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.prior import PriorDim
from harness.api.ranges import Blocks, Channels
from harness.api.refiner import RefinerTraits
from harness.api.traits import When
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.ops import forms
from harness.parts.ops.defined import InstanceNormLeaky, ShuffledConv
from harness.parts.ops.lean import channels_first
from harness.parts.refiners.ptg_rm.ablations import DESIGNS, Design
from harness.parts.refiners.ptg_rm.guidance import CSA, SLOPE, SVE
from harness.parts.refiners.ptg_rm.joins import join
from harness.parts.shared.blocks import ChannelLayerNorm, snr_map

MASK_LOGIT = 3.0
"""Starting bias of the mask's logits: I_m begins at 0.95."""

LEAN_FROM = 150_000
"""Numbers in [Î, I_d], or in a map of features, from which on the lean form trains faster on a CPU. On one thread of an
AMD EPYC its step took 1.28 times the definition's time at 1×64×64 pixels (25,000 numbers), 1.12 times at 2×64×64, as
long at 4×64×64 and 1×128×128 (98,000), 0.83 times at 8×64×64 (197,000) and 0.73 times at 2×256×256."""

Parts = tuple[nn.Module, nn.Module | None, SVE | None, CSA, nn.Module]
"""R_e, what concatenates the prior, SVE, CSA, R_d."""


class PTGRM(nn.Module):
    """Encoder R_e, spatial-varying enhancement (SVE), channel-spatial attention (CSA), decoder R_d.

    Sides are multiples of 4. `head`:

    - `mask_residual`, the paper's eq. 1: Ī = I_d + (Î − I_d)·I_m + I_r. The paper leaves open how I_m is kept in
      range and how many channels it has; here it passes a sigmoid and has the image's three channels.
    - `residual`, as released: Ī = clamp(Î, 0, 1) + I_r.

    Everything before the head follows the released code where it and the paper differ: CSA adds its input to the merged
    features, and M weighs the long range (which is the same family of functions, as R_m may learn either sign).
    `width` is C, `long_blocks` the transformer blocks of R_l, `prior_hidden` and `prior_width` the two layers that map
    the prior. With the defaults and D = 512 the `residual` head has the released 671,735 parameters.

    `start`:

    - `near_initial`: at the start Ī is close to Î. The last convolution has a tenth of its usual weights and no bias,
      and I_m begins near one. It is not zero, so that gradients reach all of R from the first step.
    - `published`: PyTorch's own initialisation of every layer. The released code has no other, neither in
      `refinement2` (models/archs/low_light_transformer648_final.py) nor where the network is made
      (models/networks.py, `define_G`).

    The default differs from the released code since the default head does, of which no code is released. At PyTorch's
    start I_m is near one half, so that half of Ī is the degraded input. Ī then begins worse than Î; where F trains too,
    it learns to make up for that half. How much that costs depends on how far the input is from the truth. A NAFNet of
    width 8 on photographs, 150 steps, PSNR of Ī against that of the base, mean of two seeds: low light +0.05 dB from
    `near_initial` and −1.89 dB from `published`, Gaussian noise of σ 25 +0.32 and +0.86 dB; with the head `residual`
    +0.03 and +0.13 dB, +0.24 and +0.56 dB. A comparison with the paper is `head: residual` with `start: published`,
    which the preset ptg_rm/sid sets.

    Placement `features` (the paper's `-f`; given `channels`, those of F's deepest tap) puts R on that tap's map f:
    f·I_m + I_r, or f + I_r with the head `residual`, with a mask and a residual of f's shape. The paper says no more of
    it. Here R_e and R_d keep the resolution, which is low already, and norm over the channels of each position, since
    the deepest map of a small image may be one position large.

    `ablation` is a row of the paper's Table 3, some in two readings; harness.parts.refiners.ptg_rm.ablations says how
    each is read, docs/refiner.md how many parameters it has. For `large_without_priors` and its other reading the width
    is four times `width`, as in the paper, or the next multiple that gives at least the full module's parameters:
    719,834 (4,037,594 with kernels) against 672,170 on images with D = 512. The prior is still asked for and ignored.
    `snr_mask` needs I_d, which placement `features` does not see: HarnessError there.

    `prior_dim` is D, or D, rows and columns of a prior's map, which `concat_2d` alone can read: HarnessError for the
    others.
    """

    traits = RefinerTraits(
        version=4,
        placements=("image", "features"),
        size_multiple=4,
        channels=3,
        reads_maps=When("ablation", "concat_2d"),
    )

    # The parameter names of the released `refinement2`.
    official = OfficialNames(
        parts={
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
    )

    def __init__(
        self,
        prior_dim: PriorDim,
        channels: int | None = None,
        *,
        head: Literal["mask_residual", "residual"] = "mask_residual",
        start: Literal["near_initial", "published"] = "near_initial",
        width: Channels = 16,
        long_blocks: Blocks = 4,
        prior_hidden: Channels = 256,
        prior_width: Channels = 64,
        ablation: Literal[
            "none",
            "without_sve",
            "without_sve_same_size",
            "without_channel_attention",
            "without_spatial_attention",
            "large_without_priors",
            "large_without_priors_kernels",
            "without_position_embedding",
            "snr_mask",
            "concat_1d",
            "concat_2d",
        ] = "none",
    ) -> None:
        super().__init__()
        design = DESIGNS[ablation]
        if design.range == "snr" and channels is not None:
            raise HarnessError(
                "ptg_rm's ablation snr_mask needs the degraded image, which placement 'features' does not see",
                hint="placement: image",
            )
        if isinstance(prior_dim, tuple) and design.joined != "map":
            raise HarnessError(
                "ptg_rm reads one vector per image, and this prior gives a map",
                hint="ablation: concat_2d, or a prior that gives vectors",
            )
        self.head = head
        self.needs_snr = design.range == "snr"
        # A map meets the features in `join` alone: SVE and CSA do not see the prior then.
        vector_dim = prior_dim[0] if isinstance(prior_dim, tuple) else prior_dim
        prior_widths = (vector_dim, prior_hidden, prior_width)

        def parts(width: int, design: Design) -> Parts:
            return (
                _image_encoder(width) if channels is None else _feature_encoder(channels, width),
                join(design.joined, width, prior_dim, prior_hidden, prior_width),
                _sve(design, width, prior_widths, long_blocks),
                _csa(design, width, prior_widths),
                _decoder(width, channels or 3, head, of_image=channels is None),
            )

        if design.grown:
            width = _grown_width(width, parts, design)
        self.encoder, self.join, self.sve, self.csa, self.decoder = parts(width, design)
        if start == "near_initial":
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
        snr = snr_map(lq_BCHW) if self.needs_snr else None
        decoded = self._decoded(torch.cat([initial_BCHW, lq_BCHW], 1), prior_BD, snr)
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

    def _decoded(self, given_BCHW: Tensor, prior_BD: Tensor, snr_B1HW: Tensor | None = None) -> Tensor:
        lean = forms.lean("ptg_rm", given_BCHW, least=LEAN_FROM)
        if lean:
            # Channels last inside: a CPU's convolutions take half the time.
            given_BCHW = given_BCHW.contiguous(memory_format=torch.channels_last)
        f = self.encoder(given_BCHW)
        if self.join is not None:
            f = self.join(f, prior_BD)
            f = f.contiguous(memory_format=torch.channels_last) if lean else f
        if self.sve is not None:
            snr_B1hw = None if snr_B1HW is None else F.interpolate(snr_B1HW, size=f.shape[-2:], mode="nearest")
            f = self.sve(f, prior_BD, snr_B1hw)
        decoded = self.decoder(self.csa(f, prior_BD))
        return channels_first(decoded) if lean else decoded


def _sve(design: Design, width: int, prior_widths: tuple[int, int, int], long_blocks: int) -> SVE | None:
    if not design.sve:
        return None
    guide = prior_widths if design.guided else None
    return SVE(width, guide, long_blocks, source=design.range, positions=design.positions)


def _csa(design: Design, width: int, prior_widths: tuple[int, int, int]) -> CSA:
    guide = prior_widths if design.guided else None
    return CSA(width, guide, channel=design.channel, spatial=design.spatial, positions=design.positions)


def _grown_width(width: int, parts: Callable[[int, Design], Parts], design: Design) -> int:
    """The smallest multiple of `width`, from four times on, at which `design` is as large as the full module."""

    def size(width: int, design: Design) -> int:
        with torch.device("meta"):
            return sum(
                weight.numel() for part in parts(width, design) if part is not None for weight in part.parameters()
            )

    full = size(width, DESIGNS["none"])
    return next(wide for wide in count(4 * width, width) if size(wide, design) >= full)


def _image_encoder(width: int) -> nn.Sequential:
    """R_e: [Î, I_d] to the latent at a quarter of the size."""
    return nn.Sequential(
        nn.Conv2d(6, width, 3, padding=1, bias=False),
        InstanceNormLeaky(width, SLOPE),
        nn.Identity(),
        nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
        InstanceNormLeaky(width),
        nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
    )


def _feature_encoder(channels: int, width: int) -> nn.Sequential:
    """R_e on a feature map: to the latent, at the map's size."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        ChannelLayerNorm(width),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
    )


def _decoder(width: int, made: int, head: str, *, of_image: bool) -> nn.Sequential:
    """R_d: the latent to `made` channels of residual, after as many of the mask's logits; ×4 in size for an image."""
    widen: list[nn.Module] = []
    for _ in range(2 if of_image else 0):
        widen += [ShuffledConv(width, width, 2, SLOPE), nn.Identity(), nn.Identity()]
    return nn.Sequential(
        *widen,
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(width, 2 * made if head == "mask_residual" else made, 3, padding=1),
    )
