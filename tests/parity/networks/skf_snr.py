from __future__ import annotations

from torch import Tensor

from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network
from tests.parity.networks.snr_lowlight import snr_net


def build(golden: Golden) -> Network:
    """SNR-Net with embeddings, one a level; their width tells whether they stand before or after the concatenation."""
    from harness.parts.refiners.skf.snr_net import SNRNetEmbeddings

    shapes = {key: shape for key, shape, *_ in golden.content["state_dict"]}
    widths = [shapes[f"att_block_{level}.conv1.weight"][:2] for level in (3, 2, 1)]
    nf = golden.config["nf"]
    net = snr_net(golden)
    skf = SNRNetEmbeddings(
        nf=nf,
        semantic_channels=tuple(semantic for _, semantic in widths),
        heads=shapes["att_block_1.attn.temperature"][0],
        place="before" if widths[0][0] == nf else "after",
    )

    def outputs(given: Inputs) -> list[Tensor]:
        features = [given[name] for name in sorted(given) if name.startswith("seg_fea_")]
        return [net.restore(given["image"], given["snr_map"], skf.merge(features))]

    blocks = {f"att_block_{level}.": block for level, block in zip((3, 2, 1), skf.blocks, strict=True)}
    return Network({**blocks, "": net}, outputs)
