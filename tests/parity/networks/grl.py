from __future__ import annotations

from typing import Any

from tests.parity.goldens import Golden
from tests.parity.networks.network import Network, NotSupported

DEFAULTS: dict[str, Any] = {
    "embed_dim": 96, "depths": (6,) * 6, "num_heads_window": (3,) * 6, "num_heads_stripe": (3,) * 6, "window_size": 8,
    "stripe_size": (8, 8), "stripe_shift": False, "mlp_ratio": 4.0, "anchor_window_down_factor": 1,
    "local_connection": False, "separable_conv_act": False,
}  # fmt: skip
"""What the authors' constructor takes where a golden names nothing."""

ONLY = {"upscale": 1, "upsampler": "", "out_proj_type": "linear", "double_window": False, "stripe_square": False}
"""Options of the authors that ours does not have, with the values that ours stands for."""

WITHOUT_EFFECT = {"img_size", "fairscale_checkpoint", "offload_to_cpu", "use_buffer", "use_efficient_buffer"}


def build(golden: Golden) -> Network:
    from harness.parts.backbones.grl import GRL

    options = dict(golden.config)
    for key, ours in ONLY.items():
        if options.get(key, ours) != ours:
            raise NotSupported(f"{key} {options[key]!r}")
    net = GRL(**DEFAULTS | {key: options[key] for key in options if key not in ONLY.keys() | WITHOUT_EFFECT})

    # Ours keeps its tables out of the state dict; here they join it, so that their sums are compared too.
    side = golden.config.get("img_size", 64)
    tables = net.set_table_index_mask((side, side))
    for name, _ in golden.as_built():
        net.register_buffer(name, tables[name])
    return Network({"": net}, lambda given: [net(given["image"])])
