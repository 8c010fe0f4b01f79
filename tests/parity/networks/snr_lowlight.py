from __future__ import annotations

from harness.parts.backbones.snr_net import SNRNet
from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    net = snr_net(golden)
    return Network({"": net}, lambda given: [net.restore(given["image"], given["snr_map"])])


def snr_net(golden: Golden) -> SNRNet:
    """The authors' other options (nframes, groups, center, predeblur, HR_in, w_TSA) change nothing in their network."""
    config = golden.config
    return SNRNet(nf=config["nf"], front_rbs=config["front_RBs"], back_rbs=config["back_RBs"])
