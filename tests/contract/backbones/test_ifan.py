"""IFAN keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestIFAN(Catalogued):
    name = "ifan"
    options: ClassVar[dict[str, Any]] = {"ch": 4, "N": 2}
    parameters = 138_220


class TestDualPixelIFAN(Catalogued):
    name = "ifan"
    options: ClassVar[dict[str, Any]] = {"ch": 4, "N": 2, "dual": True}
    parameters = 138_328


class TestIFANWithLargerFilters(Catalogued):
    name = "ifan"
    options: ClassVar[dict[str, Any]] = {"ch": 4, "N": 3, "Fs": 5, "ks": 5, "res_num": 1}
    parameters = 291_740
