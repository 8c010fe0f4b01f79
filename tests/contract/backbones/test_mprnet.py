"""MPRNet keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued

# Sixteen units behind every attention's ReLU: with few, one attention in the network is all dead now and then.
SMALL = {"n_feat": 16, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 1, "reduction": 1}


class TestMPRNet(Catalogued):
    name = "mprnet"
    options: ClassVar[dict[str, Any]] = SMALL
    parameters = 296_253


class TestBiasedMPRNet(Catalogued):
    name = "mprnet"
    options: ClassVar[dict[str, Any]] = {**SMALL, "in_c": 1, "kernel_size": 5, "bias": True}
    parameters = 757_064
