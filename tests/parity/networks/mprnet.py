from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.backbones.mprnet import MPRNet

    options = dict(golden.config)
    if options.pop("out_c", 3) != options.get("in_c", 3):
        raise NotSupported("every stage adds the input image: input and output channels are the same")
    net = MPRNet(**options)
    return Network({"": net}, lambda given: list(net.restorations(given["image"])))
