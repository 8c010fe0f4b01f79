from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    from harness.parts.backbones.restormer import Restormer

    options = dict(golden.config)
    options["layer_norm"] = "bias_free" if options.pop("LayerNorm_type", "WithBias") == "BiasFree" else "with_bias"
    net = Restormer(**options)
    return Network({"": net}, lambda given: [net(given["image"])])
