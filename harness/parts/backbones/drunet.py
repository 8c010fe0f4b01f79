"""DRUNet: K. Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", TPAMI 2021, arXiv 2008.13751.

The network is spandrel's (MIT), with the authors' parameter names.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MaxLen
from pydantic import Field
from spandrel.architectures.DRUNet import DRUNet as SpandrelDRUNet
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels
from harness.api.traits import Conflict, Rule, Unless, When
from harness.core.errors import HarnessError


class DRUNet(SpandrelDRUNet):
    """U-shaped residual network without biases, told the noise level by a map beside the image.

    Sides are multiples of 8. There is no residual from the input image; the output is unclamped. `sigma` is the noise
    level, of images in [0, 255], of the task that the network is trained for. Where a suite leaves it out it is the
    task's: one number, or a range from which σ is drawn for every image, as the authors train it, with (0, 50).
    `forward` gets each image's own σ, in training and in test: a network that is trained at one σ is told another one
    where it is tested at that. `restore` takes a map. A task without `sigma` (rain, blur) says nothing of noise: the
    map then holds the option everywhere, 25 unless the suite says otherwise, a constant that training can learn to
    ignore. With `sigma: null` there is no map: all of the `in_nc` input channels are the image's, and the network is
    blind, whatever σ is drawn.

    Defaults are the authors' for colour; gray has `in_nc` 2 and `out_nc` 1. `nc` has the channels of the four levels,
    `nb` the residual blocks of each; `act_mode` names what stands between a block's two convolutions: R for ReLU, L for
    leaky ReLU, B for batch, I for instance normalisation, small letters for not in place. First weights are orthogonal
    matrices times 0.2, as the authors draw them. Raises HarnessError for options that do not fit.
    """

    traits = BackboneTraits(
        version=2,
        taps=True,
        decoder=True,
        from_task=("sigma",),
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="MIT (network from spandrel)",
        paper="arXiv 2008.13751",
        verified=True,
        conflicts=(
            Conflict(
                when=(When("sigma", None), Unless("in_nc", (1, 3))),
                what="without a noise map all {in_nc} input channels are the image's, which has 3, or 1 if it is grey",
                hint="in_nc: 3",
            ),
        ),
        rules=(
            Rule(
                "in_nc >= 2",
                "one of the input channels is the noise map's, so that two or more are needed",
                when=(Unless("sigma", None),),
            ),
        ),
    )

    def __init__(
        self,
        *,
        in_nc: Channels = 4,
        out_nc: Channels = 3,
        nc: tuple[Channels, Channels, Channels, Channels] = (64, 128, 256, 512),
        nb: Blocks = 4,
        act_mode: Annotated[str, Field(pattern="^[RrLlBI]*$"), MaxLen(8)] = "R",
        downsample_mode: Literal["strideconv", "avgpool"] = "strideconv",
        upsample_mode: Literal["convtranspose", "pixelshuffle", "upconv"] = "convtranspose",
        sigma: Annotated[float, Ge(0.0), Le(255.0)]
        | tuple[Annotated[float, Ge(0.0), Le(255.0)], Annotated[float, Ge(0.0), Le(255.0)]]
        | None = 25.0,
    ) -> None:
        self.traits.require(locals())
        channels_in = in_nc if sigma is None else in_nc - 1
        if len(nc) != 4:
            raise HarnessError("drunet has four levels: `nc` takes four numbers")
        if not set(act_mode) <= set("RrLlBI"):
            raise HarnessError(f"`act_mode` {act_mode!r} holds other letters than R, r, L, l, B and I")
        super().__init__(
            in_nc=in_nc,
            out_nc=out_nc,
            nc=list(nc),
            nb=nb,
            act_mode=act_mode,
            downsample_mode=downsample_mode,
            upsample_mode=upsample_mode,
        )
        self._draw_weights()
        self.sigma = sigma
        self.capabilities = Capabilities(
            channels_in=channels_in,
            channels_out=out_nc,
            size_multiple=8,
            min_size=16 if "I" in act_mode else 8,  # instance normalisation needs two positions at an eighth
            taps=("m_down1", "m_down2", "m_down3", "m_body"),
            decoder=("m_up3", "m_up2", "m_up1"),
            told=() if sigma is None else ("sigma",),
            assumes=("sigma",) if isinstance(sigma, float | int) else (),
        )

    def _draw_weights(self) -> None:
        """First weights as in KAIR: models/select_network.py, `init_weights`, with options/train_drunet.json."""
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.orthogonal_(part.weight, gain=0.2)
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.1, 1.0)

    def forward(self, lq_BCHW: Tensor, sigma_B: Tensor | None = None) -> Tensor:
        """Noisy images in [0, 1] to the initial restoration, at the noise level `sigma`.

        `sigma_B`: the noise level of each image, of images in [0, 255]; None stands for `sigma`, and for the middle of
        a range.
        """
        if self.sigma is None:
            return super().forward(lq_BCHW)
        level = sum(self.sigma) / 2 if isinstance(self.sigma, tuple) else self.sigma
        if sigma_B is None:
            return self.restore(lq_BCHW, torch.full_like(lq_BCHW[:, :1], level / 255))
        level_B = (sigma_B / 255).to(lq_BCHW)
        if not isinstance(self.sigma, tuple):  # the very map of a network that is told nothing, to the last bit
            level_B = torch.where(sigma_B == level, torch.full_like(level_B, level / 255), level_B)
        return self.restore(lq_BCHW, level_B[:, None, None, None].expand_as(lq_BCHW[:, :1]))

    def restore(self, image_BCHW: Tensor, noise_B1HW: Tensor) -> Tensor:
        """The network proper, with the noise level of each pixel given, in the image's units."""
        return super().forward(torch.cat([image_BCHW, noise_B1HW], 1))
