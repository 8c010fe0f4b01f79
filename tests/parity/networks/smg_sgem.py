from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.refiners.smg.enhancement import EnhancementNet

    config = golden.config
    if config["padding_type"] != "reflect" or (config["input_nc"], config["output_nc"]) != (6, 3):
        raise NotSupported("two RGB images to one with mirrored borders only")
    net = EnhancementNet(width=config["ngf"], blocks=config["n_blocks"])
    return Network({"": net}, lambda given: [net(given["y_inter_and_image"], given["edge"])])
