from __future__ import annotations

from operator import itemgetter

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
    wanted = itemgetter("restored", "reflectance", "illumination", "high_illumination")
    return Network({"": net}, lambda given: list(wanted(net.outputs(given["image"]))))
