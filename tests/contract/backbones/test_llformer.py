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
    options: ClassVar[dict[str, Any]] = {
        "dim": 4, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 2],
        "bias": True, "layer_norm": "bias_free", "attention": False, "skip": True,
    }  # fmt: skip
    parameters = 256_733
