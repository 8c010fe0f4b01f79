from __future__ import annotations

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported


def build(golden: Golden) -> Network:
    from harness.parts.backbones.promptir import PromptIR

    options = dict(golden.config)
    channels = options.pop("inp_channels", 3)
    if options.pop("out_channels", 3) != channels:
        raise NotSupported("the input image is added: input and output channels are the same")
    if not options.pop("decoder", False):
        raise NotSupported("without prompts in the decoder the authors' channels do not fit")
    options["layer_norm"] = "bias_free" if options.pop("LayerNorm_type", "WithBias") == "BiasFree" else "with_bias"
    net = PromptIR(**options, channels=channels)
    return Network({"": net}, lambda given: [net(given["image"])])
