from __future__ import annotations

from tests.contract.backbones.catalogued import Catalogued


class TestSPAIR(Catalogued):
    name = "spair"
    options = {"width": 8, "levels": 2, "blocks": 1, "mask_width": 4}  # noqa: RUF012
    parameters = 72_000
