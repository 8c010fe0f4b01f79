"""URetinex-Net keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestURetinex(Catalogued):
    name = "uretinex"
    options: ClassVar[dict[str, Any]] = {"rounds": 2}
    parameters = 340_105


class TestURetinexThatDecomposesTheTruth(Catalogued):
    name = "uretinex"
    options: ClassVar[dict[str, Any]] = {"rounds": 2, "ratio": "truth", "truth_trains": True}
    parameters = 360_653


class TestUnguidedURetinex(Catalogued):
    name = "uretinex"
    options: ClassVar[dict[str, Any]] = {"rounds": 2, "concat_l": False, "ratio": 3.0}
    parameters = 340_681
