"""NAFNet keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued

ONE_BLOCK: dict[str, Any] = {"enc_blk_nums": [1, 1, 1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1, 1]}


class TestNAFNet(Catalogued):
    name = "nafnet"
    options: ClassVar[dict[str, Any]] = {"width": 8, **ONE_BLOCK}
    parameters = 290_715


class TestLocalNAFNet(Catalogued):
    name = "nafnet"
    options: ClassVar[dict[str, Any]] = {"width": 8, **ONE_BLOCK, "tlc": 16}
    parameters = 290_715
