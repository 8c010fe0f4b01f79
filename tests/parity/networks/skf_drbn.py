from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network


def build(golden: Golden) -> Network:
    from harness.parts.refiners.skf.drbn import DRBN
    from harness.parts.refiners.skf.hrnet import Semantics

    net = DRBN()

    def outputs(given: Inputs) -> list[Tensor]:
        features = tuple(given[name] for name in sorted(given) if name.startswith("seg_fea_"))
        semantics = Semantics(given["seg_orin"], features)
        return list(net(given["image"], lambda _: semantics))

    return Network({"": net}, outputs)
