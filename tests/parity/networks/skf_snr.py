from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor

from harness.parts.shared.taps import edited
from tests.parity.goldens import Golden
from tests.parity.networks.network import Inputs, Network
from tests.parity.networks.snr_lowlight import snr_net


def build(golden: Golden) -> Network:
    """SNR-Net with embeddings, one a level; their width tells whether they stand before or after the concatenation.

    Those before it are the refiner's own, which edits the decoder's features.
    """
    from harness.parts.refiners.skf.guidance import SemanticGuidance
    from harness.parts.refiners.skf.hrnet import HRNet
    from harness.parts.refiners.skf.snr_net import SNRNetEmbeddings

    shapes = {key: shape for key, shape, *_ in golden.content["state_dict"]}
    widths = [shapes[f"att_block_{level}.conv1.weight"][:2] for level in (3, 2, 1)]
    nf, heads = golden.config["nf"], shapes["att_block_1.attn.temperature"][0]
    net = snr_net(golden)
    skf: SemanticGuidance | SNRNetEmbeddings
    if widths[0][0] == nf:
        with torch.device("meta"):  # its features are the golden's inputs
            segmentation = HRNet()
        skf = SemanticGuidance([nf] * 3, segmentation, heads=heads)
    else:
        skf = SNRNetEmbeddings(nf=nf, semantic_channels=tuple(S for _, S in widths), heads=heads, place="after")

    def outputs(given: Inputs) -> list[Tensor]:
        features = [given[name] for name in sorted(given) if name.startswith("seg_fea_")]
        image, snr = given["image"], given["snr_map"]
        if isinstance(skf, SNRNetEmbeddings):
            return [net.restore(image, snr, skf.merge(features))]
        edits = skf.functions(features, (image.shape[-2], image.shape[-1]))
        with ExitStack() as stack:
            for tap, edit in zip(net.capabilities.decoder, edits, strict=True):
                stack.enter_context(edited(net, tap, edit))
            return [net.restore(image, snr)]

    blocks = {f"att_block_{level}.": block for level, block in zip((3, 2, 1), skf.blocks, strict=True)}
    return Network({**blocks, "": net}, outputs)
