from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network


def build(golden: Golden) -> Network:
    """SMG is its refiner on its appearance network. The golden is given the edge map: the structure network is out."""
    from torch import Tensor

    from harness.parts.backbones.smg_appearance import SMGAppearance
    from harness.parts.refiners.smg.refiner import SMG

    backbone, refiner = SMGAppearance(), SMG(size=8)

    def outputs(given: Inputs) -> list[Tensor]:
        initial = backbone(given["image"])
        refined = refiner.enhance(given["image"], initial, given["edge"])
        return [refined.clamp(0, 1), initial.clamp(0, 1)]

    return Network({"refinement.": backbone, "refinement2.": refiner.enhancement}, outputs)
