"""MIRNet-v2 keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued

SMALL = {"n_feat": 8, "groups": [1, 2], "n_MRB": 1}


class TestMIRNetV2(Catalogued):
    name = "mirnet_v2"
    options: ClassVar[dict[str, Any]] = SMALL
    parameters = 20_824


class TestDualPixelMIRNetV2(Catalogued):
    name = "mirnet_v2"
    options: ClassVar[dict[str, Any]] = {**SMALL, "inp_channels": 6, "dual_pixel_task": True}
    parameters = 21_040
