"""SMG's appearance network keeps the contract of backbones."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.backbones.catalogued import Catalogued


class TestSMGAppearance(Catalogued):
    name = "smg_appearance"
    options: ClassVar[dict[str, Any]] = {"width": 4}
    parameters = 18_091


class TestDeeperSMGAppearance(Catalogued):
    name = "smg_appearance"
    options: ClassVar[dict[str, Any]] = {"width": 4, "blocks": 2}
    parameters = 22_731
