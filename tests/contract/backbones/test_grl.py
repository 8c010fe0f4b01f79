"""GRL keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued

TINY = {
    "embed_dim": 8, "depths": [4], "num_heads_window": [2], "num_heads_stripe": [2], "window_size": 4,
    "stripe_size": [8, 16], "drop_path_rate": 0.0,
}  # fmt: skip


class TestGRL(Catalogued):
    name = "grl"
    keeps = True
    options: ClassVar[dict[str, Any]] = TINY | {"embed_dim": 72}
    parameters = 404_299

    def stirred(self) -> Any:
        """Channel attention has four hidden units here: kept above zero, lest a draw silences them all."""
        network = super().stirred()
        for name, parameter in network.named_parameters():
            if name.endswith("attention.1.bias"):
                parameter.data.fill_(2.0)
        return network


class TestConvolutionalGRL(Catalogued):
    name = "grl"
    keeps = True
    options: ClassVar[dict[str, Any]] = TINY | {
        "local_connection": False, "qkv_proj_type": "separable_conv", "anchor_proj_type": "separable_conv",
        "conv_type": "3conv", "stripe_groups": [None, 1], "in_channels": 6, "out_channels": 3,
    }  # fmt: skip
    parameters = 35_227
