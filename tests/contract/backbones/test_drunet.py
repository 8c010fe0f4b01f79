"""DRUNet keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestDRUNet(Catalogued):
    name = "drunet"
    options: ClassVar[dict[str, Any]] = {"nc": [4, 8, 12, 16], "nb": 1}
    parameters = 15_484


class TestGrayDRUNet(Catalogued):
    name = "drunet"
    options: ClassVar[dict[str, Any]] = {
        "nc": [4, 8, 12, 16], "nb": 1, "in_nc": 2, "out_nc": 1, "act_mode": "L", "downsample_mode": "avgpool",
        "upsample_mode": "upconv",
    }  # fmt: skip
    parameters = 18_540


class TestToldDRUNet(Catalogued):
    name = "drunet"
    options: ClassVar[dict[str, Any]] = {"nc": [4, 8, 12, 16], "nb": 1, "sigma": (0.0, 50.0)}
    parameters = 15_484


class TestBlindDRUNet(Catalogued):
    name = "drunet"
    options: ClassVar[dict[str, Any]] = {"nc": [4, 8, 12, 16], "nb": 1, "in_nc": 3, "sigma": None}
    parameters = 15_448
