from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported

UNUSED = ("linear_add", "latent_threshold", "latent_norm", "linear")


def build(golden: Golden) -> Network:
    from harness.parts.backbones.enlightengan import EnlightenGAN

    config = golden.config
    used = [name for name in UNUSED if config.get(name)]
    if used:
        raise NotSupported(f"not described in the notes, and off in the official configuration: {', '.join(used)}")
    net = EnlightenGAN(
        self_attention=config["self_attention"],
        use_norm=bool(config["use_norm"]),
        use_avgpool=bool(config["use_avgpool"]),
        tanh=config["tanh"],
        times_residual=config["times_residual"],
        skip=config["skip"],
    )
    count = len(golden.content["outputs"])  # Without a skip the authors' network returns the image alone.
    return Network({"": net}, lambda given: list(net.enhance(given["image"], given["attention"]))[:count])
