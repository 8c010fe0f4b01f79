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
        part = REGISTRY.load("refiner", self.name)
        return part(*((prior_dim,) if getattr(part, "needs_prior", True) else ()), **self.options)

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


class TestSMG(Catalogued):
    name = "smg"
    options: ClassVar[dict[str, Any]] = {"size": 16, "width": 4, "narrow": 0.125}
    parameters = 2_389_081
    prior_dims = (36,)


class TestSMGOfDepth(Catalogued):
    name = "smg_depth"
    options: ClassVar[dict[str, Any]] = {"size": 8, "width": 4, "narrow": 0.125}
    parameters = 2_308_850
    prior_dims = (36,)


def test_every_refiner_is_here() -> None:
    assert {case.name for case in Catalogued.__subclasses__()} == set(REGISTRY.names("refiner"))
