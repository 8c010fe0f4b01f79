"""EnlightenGAN keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestEnlightenGAN(Catalogued):
    name = "enlightengan"
    options: ClassVar[dict[str, Any]] = {"width": 4}
    parameters = 136_099


class TestBoundedEnlightenGANWithoutNorms(Catalogued):
    name = "enlightengan"
    options: ClassVar[dict[str, Any]] = {"width": 4, "use_norm": False, "tanh": True}
    parameters = 135_371


class TestEnlightenGANWithoutAttention(Catalogued):
    name = "enlightengan"
    options: ClassVar[dict[str, Any]] = {
        "width": 4, "self_attention": False, "use_avgpool": True, "times_residual": False
    }  # fmt: skip
    parameters = 136_063
