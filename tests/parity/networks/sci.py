from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network


def build(golden: Golden) -> Network:
    """The training cascade, or `Finetunemodel`, which is the network of use."""
    from harness.parts.backbones.sci import SCI

    if golden.content["class"] == "Finetunemodel":
        alone = SCI()
        return Network({"": alone}, lambda given: list(alone.illuminate(given["image"])))
    net = SCI(stage=golden.config["stage"])

    def outputs(given: Inputs) -> list[Tensor]:
        stages = net.stages(given["image"])
        return [
            *(stage.illumination_BCHW for stage in stages),
            *(stage.enhanced_BCHW for stage in stages),
            *(stage.input_BCHW for stage in stages),
            *(stage.correction_BCHW.abs() for stage in stages),
        ]

    return Network({"": net}, outputs)
