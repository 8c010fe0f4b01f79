from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network
from tests.parity.networks.snr_lowlight import snr_net


def build(golden: Golden) -> Network:
    """The released refinement alone, or behind SNR-Net, where its keys begin with `refinement11.`"""
    from harness.parts.refiners.ptg_rm.refiner import PTGRM

    shapes = {key: shape for key, shape, *_ in golden.content["state_dict"]}
    if golden.content["class"] == "refinement2":
        refiner = PTGRM(shapes["mapp_space1.weight"][1], head="residual")
        return Network({"": refiner}, lambda given: [refiner(given["image"], given["restored"], given["clip"])])
    backbone = snr_net(golden)
    refiner = PTGRM(shapes["refinement11.mapp_space1.weight"][1], head="residual")

    def outputs(given: Inputs) -> list[Tensor]:
        initial = backbone.restore(given["image"], given["mask"])
        return [refiner(given["image"], initial, given["clip"]), initial]

    return Network({"refinement11.": refiner, "": backbone}, outputs)
