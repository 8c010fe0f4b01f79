"""LLFormer keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestLLFormer(Catalogued):
    name = "llformer"
    options: ClassVar[dict[str, Any]] = {
        "dim": 4, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 2]
    }  # fmt: skip
    parameters = 254_718


class TestBiasedLLFormerWithSkip(Catalogued):
    name = "llformer"
    # Eight channels: the bias-free norm divides by their spread without taking their mean out. With four, they are now
    # and then all alike somewhere, and any rounding is blown up a hundredfold, in float32 too.
    options: ClassVar[dict[str, Any]] = {
        "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 2],
        "bias": True, "layer_norm": "bias_free", "attention": False, "skip": True,
    }  # fmt: skip
    parameters = 947_399
