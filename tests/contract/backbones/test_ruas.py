"""RUAS keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestRUAS(Catalogued):
    name = "ruas"
    options: ClassVar[dict[str, Any]] = {}
    parameters = 3_438


class TestRUASWithoutItsDenoiser(Catalogued):
    name = "ruas"
    options: ClassVar[dict[str, Any]] = {"denoise": False}
    parameters = 3_438
