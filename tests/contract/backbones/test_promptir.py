"""PromptIR keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued

SMALL = {
    "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "prompt_dims": [8, 16, 32], "prompt_size": 16
}  # fmt: skip


class TestPromptIR(Catalogued):
    name = "promptir"
    options: ClassVar[dict[str, Any]] = SMALL
    parameters = 349_910


class TestBiasFreeGreyPromptIR(Catalogued):
    name = "promptir"
    options: ClassVar[dict[str, Any]] = {**SMALL, "channels": 1, "bias": True, "layer_norm": "bias_free"}
    parameters = 355_823
