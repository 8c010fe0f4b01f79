from __future__ import annotations

import torch
from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network


def build(golden: Golden) -> Network:
    """The authors' call in testing gives the clipped image alone, that in training also what its losses need."""
    from harness.parts.backbones.ifan import IFAN

    config = golden.config
    shapes = {key: shape for key, shape, *_ in golden.content["state_dict"]}
    options = {name: config[name] for name in ("ks", "Fs", "res_num", "ch", "N", "wiF") if name in config}
    net = IFAN(**options, dual=shapes["kconv1_1.0.weight"][1] == 6)
    testing = len(golden.content["outputs"]) == 1

    def outputs(given: Inputs) -> list[Tensor]:
        filters = net.filters(torch.cat([given["R"], given["L"]], 1) if net.dual else given["C"])
        result = net.deblur(given["C"], filters)
        if testing:
            return [result.clamp(0, 1)]
        return [result, filters, *net.warp_right(given["R"], given["L"])]

    return Network({"": net}, outputs)
