from __future__ import annotations

from typing import Any

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network

DEPTHS = (2,) * 9
"""What the authors' constructor takes where a golden names none."""


def build(golden: Golden) -> Network:
    from harness.parts.backbones.uformer import Uformer

    defaults: dict[str, Any] = {"img_size": 256, "depths": DEPTHS, "modulator": False}
    without_effect = {"patch_norm", "use_checkpoint"}
    options = {key: value for key, value in golden.config.items() if key not in without_effect}
    net = Uformer(**defaults | options)
    return Network({"": net}, lambda given: [net(given["image"])])
