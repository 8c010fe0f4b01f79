from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    """The authors' n_RRG, height, width and scale change nothing in their network."""
    from harness.parts.backbones.mirnet_v2 import MIRNetV2

    options = {
        key: golden.config[key] for key in ("inp_channels", "out_channels", "n_feat", "chan_factor", "n_MRB", "bias")
    }
    net = MIRNetV2(**options, dual_pixel_task=golden.config["task"] == "defocus_deblurring")
    return Network({"": net}, lambda given: [net(given["image"])])
