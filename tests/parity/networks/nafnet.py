from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.backbones.nafnet import NAFNet

    options = dict(golden.config)
    *_, height, width = options.pop("train_size", (None, None))
    if height != width:
        raise NotSupported(f"the local converter takes square training patches, not {height}×{width}")
    net = NAFNet(**options, tlc=height)
    return Network({"": net}, lambda given: [net(given["image"])])
