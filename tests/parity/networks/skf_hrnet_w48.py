from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.refiners.skf.hrnet import HRNet

    config, extra = golden.config, golden.config["EXTRA"]
    stages = [extra[f"STAGE{n}"] for n in (2, 3, 4)]
    blocks = {count for stage in stages for count in stage["NUM_BLOCKS"]} | set(extra["STAGE1"]["NUM_BLOCKS"])
    if len(blocks) > 1 or extra["FINAL_CONV_KERNEL"] != 1:
        raise NotSupported("one number of blocks everywhere and a final 1×1 convolution")
    net = HRNet(
        classes=config["NUM_CLASSES"],
        channels=tuple(stages[-1]["NUM_CHANNELS"]),
        modules=tuple(stage["NUM_MODULES"] for stage in stages),
        blocks=blocks.pop(),
        align_corners=config["ALIGN_CORNERS"],
    )

    def outputs(given: Inputs) -> list[Tensor]:
        semantics = net(given["image"])
        return [semantics.classes(), *semantics.features]

    return Network({"": net}, outputs)
