from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network


def build(golden: Golden) -> Network:
    """In evaluation the layers of full resolution get zeros where the authors' draw fresh noise; so does the golden."""
    from harness.parts.refiners.smg.structure import StructureNet

    config = golden.config
    net = StructureNet(
        size=config["size"],
        style_dim=config["style_dim"],
        mlp_layers=config["n_mlp"],
        multiplier=config["channel_multiplier"],
        narrow=config["narrow"],
    )
    modules = {"generator.": net.generator, "": net.encoder}
    return Network(modules, lambda given: list(net(given["grey"])))
