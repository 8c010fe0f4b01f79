"""Zero-DCE keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestZeroDCE(Catalogued):
    name = "zero_dce"
    options: ClassVar[dict[str, Any]] = {}
    parameters = 79_416


class TestZeroDCEInFewIterations(Catalogued):
    name = "zero_dce"
    options: ClassVar[dict[str, Any]] = {"width": 8, "iterations": 3}
    parameters = 5_601
