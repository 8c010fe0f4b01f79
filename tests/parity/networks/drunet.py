from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network


def build(golden: Golden) -> Network:
    from harness.parts.backbones.drunet import DRUNet

    net = DRUNet(**golden.config)

    def outputs(given: Inputs) -> list[Tensor]:
        (image_and_sigma,) = given.values()
        return [net.restore(image_and_sigma[:, :-1], image_and_sigma[:, -1:])]

    return Network({"": net}, outputs)
