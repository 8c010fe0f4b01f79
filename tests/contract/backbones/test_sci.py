"""SCI keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestSCI(Catalogued):
    name = "sci"
    options: ClassVar[dict[str, Any]] = {}
    parameters = 258


class TestSCICascade(Catalogued):
    name = "sci"
    options: ClassVar[dict[str, Any]] = {"stage": 3}
    parameters = 5_877
