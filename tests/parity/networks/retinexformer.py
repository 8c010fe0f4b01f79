from __future__ import annotations

from typing import Any

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.backbones.retinexformer import Retinexformer

    options = dict(golden.config)
    channels = options.pop("in_channels", 3), options.pop("out_channels", 3)
    if channels != (3, 3):
        raise NotSupported(f"the illumination estimator takes and gives RGB, not {channels} channels")
    defaults: dict[str, Any] = {"n_feat": 31, "stage": 3, "num_blocks": (1, 1, 1)}
    net = Retinexformer(**defaults | options)
    return Network({"": net}, lambda given: [net(given["image"])])
