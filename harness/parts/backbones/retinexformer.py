"""Retinexformer: Y. Cai et al., "Retinexformer: One-stage Retinex-based Transformer for Low-light Image Enhancement",
ICCV 2023, arXiv 2303.06705.

The network is spandrel's (MIT), with the authors' parameter names.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, MultipleOf
from spandrel.architectures.RetinexFormer import RetinexFormer as SpandrelRetinexFormer
from torch import Tensor

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Count
from harness.core.errors import HarnessError


class Retinexformer(SpandrelRetinexFormer):
    """Brightens the image by an estimated illumination map, then restores it with attention across channels.

    Sides are multiples of 4; images are RGB, and the output is unclamped. Each of `stage` stages takes the result of
    the one before. `num_blocks`: attention blocks at full, 1/2 and 1/4 resolution. Defaults are the configuration of
    the authors' benchmarks. Raises HarnessError for options that do not fit.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="MIT (network from spandrel)",
        paper="arXiv 2303.06705",
        verified=True,
    )

    def __init__(
        self,
        *,
        n_feat: Annotated[int, Ge(4), Le(65_536), MultipleOf(4)] = 40,
        stage: Count = 1,
        num_blocks: tuple[Blocks, Blocks, Blocks] = (1, 2, 2),
    ) -> None:
        if n_feat % 4:
            raise HarnessError(f"`n_feat` {n_feat} is not a multiple of the illumination estimator's four groups")
        if len(num_blocks) != 3 or stage < 1:
            raise HarnessError("retinexformer has at least one `stage` of three levels, each with its `num_blocks`")
        super().__init__(n_feat=n_feat, stage=stage, num_blocks=list(num_blocks))
        last = f"body.{stage - 1}.denoiser"
        self.capabilities = Capabilities(
            size_multiple=4,
            min_size=4,
            taps=(f"{last}.encoder_layers.0.0", f"{last}.encoder_layers.1.0", f"{last}.bottleneck"),
            decoder=(f"{last}.decoder_layers.0.2", f"{last}.decoder_layers.1.2"),
        )

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to the initial restoration."""
        return self.restorations(lq_BCHW)[-1]

    def restorations(self, lq_BCHW: Tensor) -> list[Tensor]:
        """The restoration after each stage, the final one last."""
        restored = []
        for stage in self.body:
            lq_BCHW = stage(lq_BCHW)
            restored.append(lq_BCHW)
        return restored
