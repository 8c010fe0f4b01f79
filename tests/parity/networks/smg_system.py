from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    """The golden is given the edge map, so the structure network is left out."""
    from harness.parts.refiners.smg.system import SMG

    net = SMG(size=8)
    modules = {"refinement.": net.appearance, "refinement2.": net.enhancement}
    return Network(modules, lambda given: list(net.enhance(given["image"], given["edge"])[:2]))
