"""The contract of a built-in backbone, at a width that a CPU runs at once."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.parts.catalogue import REGISTRY
from harness.testing.backbone import BackboneContract


class Catalogued(BackboneContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]

    def make(self) -> Any:
        return REGISTRY.load("backbone", self.name)(**self.options)

    def test_parameter_count(self) -> None:
        assert sum(parameter.numel() for parameter in self.make().parameters()) == self.parameters
