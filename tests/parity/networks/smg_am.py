from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.backbones.smg_appearance import SMGAppearance

    config = golden.config
    if config["padding_type"] != "reflect" or (config["input_nc"], config["output_nc"]) != (3, 3):
        raise NotSupported("RGB with mirrored borders only")
    net = SMGAppearance(width=config["ngf"], blocks=config["n_blocks"])
    return Network({"": net}, lambda given: [net.residual(given["image"])])
