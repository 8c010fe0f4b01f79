from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    from harness.parts.backbones.uretinex import URetinex

    config = golden.config
    net = URetinex(
        rounds=config["round"],
        gamma=config["gamma"],
        lamda=config["lamda"],
        r_offset=config["Roffset"],
        l_offset=config["Loffset"],
        concat_l=config["concat_L"],
        ratio=config["ratio"],
    )
    return Network({"": net}, lambda given: list(net.enhance(given["image"], net.ratio)))
