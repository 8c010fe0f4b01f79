"""Restormer keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestRestormer(Catalogued):
    name = "restormer"
    options: ClassVar[dict[str, Any]] = {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1}
    parameters = 208_225


class TestBiasFreeRestormer(Catalogued):
    name = "restormer"
    options: ClassVar[dict[str, Any]] = {
        "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "bias": True, "layer_norm": "bias_free"
    }  # fmt: skip
    parameters = 211_592


class TestDualPixelRestormer(Catalogued):
    name = "restormer"
    options: ClassVar[dict[str, Any]] = {
        "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "inp_channels": 6, "dual_pixel_task": True
    }  # fmt: skip
    parameters = 208_569
