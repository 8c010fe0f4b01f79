"""Every built-in refiner keeps the contract."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.parts.catalogue import REGISTRY
from harness.testing.refiner import RefinerContract


class Catalogued(RefinerContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]
    """At a prior width of 512."""

    def make(self, prior_dim: int) -> Any:
        return REGISTRY.load("refiner", self.name)(prior_dim, **self.options)

    def test_parameter_count(self) -> None:
        assert sum(parameter.numel() for parameter in self.make(512).parameters()) == self.parameters


class TestPTGRM(Catalogued):
    name = "ptg_rm"
    options: ClassVar[dict[str, Any]] = {}
    parameters = 672_170


class TestReleasedPTGRM(Catalogued):
    name = "ptg_rm"
    options: ClassVar[dict[str, Any]] = {"head": "residual"}
    parameters = 671_735


def test_every_refiner_is_here() -> None:
    of_decoders = {"skf"}  # test_decoder_refiners.py
    assert {case.name for case in Catalogued.__subclasses__()} | of_decoders == set(REGISTRY.names("refiner"))
