from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(_golden: Golden) -> Network:
    from harness.parts.backbones.zero_dce import ZeroDCE

    net = ZeroDCE()
    return Network({"": net}, lambda given: list(net.enhance(given["image"])))
