"""Uformer keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued

TINY = {"embed_dim": 4, "depths": [2] * 9, "win_size": 2, "drop_path_rate": 0.0}


class TestUformer(Catalogued):
    name = "uformer"
    options: ClassVar[dict[str, Any]] = TINY
    parameters = 347_025


class TestConvolutionalUformer(Catalogued):
    name = "uformer"
    options: ClassVar[dict[str, Any]] = TINY | {"token_projection": "conv", "token_mlp": "ffn", "img_size": 32}
    parameters = 342_145
