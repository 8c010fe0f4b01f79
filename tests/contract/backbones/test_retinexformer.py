"""Retinexformer keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestRetinexformer(Catalogued):
    name = "retinexformer"
    options: ClassVar[dict[str, Any]] = {"n_feat": 8, "num_blocks": [1, 1, 1]}
    parameters = 49_149


class TestTwoStageRetinexformer(Catalogued):
    name = "retinexformer"
    options: ClassVar[dict[str, Any]] = {"n_feat": 8, "num_blocks": [1, 1, 1], "stage": 2}
    parameters = 98_298
