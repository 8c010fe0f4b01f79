"""Our network for a golden's configuration, called as the authors' is called. One line a network in NETWORKS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from tests.parity.goldens import Golden

Inputs = Mapping[str, Tensor]


class NotSupported(Exception):
    """A configuration that ours cannot be given, with the reason."""


@dataclass(frozen=True)
class Network:
    """Modules by the prefix of their official keys, and the call that maps named inputs to all outputs."""

    modules: Mapping[str, nn.Module]
    outputs: Callable[[Inputs], list[Tensor]]


def restormer(golden: Golden) -> Network:
    from harness.parts.backbones.restormer import Restormer

    options = dict(golden.config)
    layer_norm = "bias_free" if options.pop("LayerNorm_type", "WithBias") == "BiasFree" else "with_bias"
    net = Restormer(**options, layer_norm=layer_norm)
    return Network({"": net}, lambda given: [net(given["image"])])


def nafnet(golden: Golden) -> Network:
    from harness.parts.backbones.nafnet import NAFNet

    options = dict(golden.config)
    *_, height, width = options.pop("train_size", (None, None))
    if height != width:
        raise NotSupported(f"the local converter takes square training patches, not {height}×{width}")
    net = NAFNet(**options, tlc=height)
    return Network({"": net}, lambda given: [net(given["image"])])


def snr_lowlight(golden: Golden) -> Network:
    net = _snr_net(golden)
    return Network({"": net}, lambda given: [net.restore(given["image"], given["snr_map"])])


def ptg_rm(golden: Golden) -> Network:
    """The released refinement alone, or behind SNR-Net, where its keys begin with `refinement11.`"""
    from harness.parts.refiners.ptg_rm import PTGRM

    shapes = {key: shape for key, shape, *_ in golden.content["state_dict"]}
    if golden.content["class"] == "refinement2":
        refiner = PTGRM(shapes["mapp_space1.weight"][1], head="residual")
        return Network({"": refiner}, lambda given: [refiner(given["image"], given["restored"], given["clip"])])
    backbone = _snr_net(golden)
    refiner = PTGRM(shapes["refinement11.mapp_space1.weight"][1], head="residual")

    def outputs(given: Inputs) -> list[Tensor]:
        initial = backbone.restore(given["image"], given["mask"])
        return [refiner(given["image"], initial, given["clip"]), initial]

    return Network({"refinement11.": refiner, "": backbone}, outputs)


def _snr_net(golden: Golden) -> nn.Module:
    """The authors' other options (nframes, groups, center, predeblur, HR_in, w_TSA) change nothing in their network."""
    from harness.parts.backbones.snr_net import SNRNet

    config = golden.config
    return SNRNet(nf=config["nf"], front_rbs=config["front_RBs"], back_rbs=config["back_RBs"])


NETWORKS: Mapping[str, Callable[[Golden], Network]] = {
    "restormer": restormer,
    "nafnet": nafnet,
    "snr_lowlight": snr_lowlight,
    "ptg_rm": ptg_rm,
}
