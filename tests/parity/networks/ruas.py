from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network


def build(_golden: Golden) -> Network:
    from harness.parts.backbones.ruas import RUAS

    net = RUAS()

    def outputs(given: Inputs) -> list[Tensor]:
        enhanced, illuminations = net.iterate(given["image"])
        return enhanced + illuminations

    return Network({"": net}, outputs)
