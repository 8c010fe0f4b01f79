from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    from harness.parts.backbones.llformer import LLFormer

    options = dict(golden.config)
    options["layer_norm"] = {"WithBias": "with_bias", "BiasFree": "bias_free"}[options.pop("LayerNorm_type")]
    net = LLFormer(**options)
    return Network({"": net}, lambda given: [net(given["image"])])
