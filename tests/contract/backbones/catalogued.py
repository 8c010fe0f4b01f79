"""The contract of a built-in backbone, at a width that a CPU runs at once."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.models.assemble import build_model
from harness.parts.catalogue import REGISTRY
from harness.testing import checks
from harness.testing.backbone import BATCH, BackboneContract

PRIOR_DIM = 8


class Catalogued(BackboneContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]

    def make(self) -> Any:
        return REGISTRY.load("backbone", self.name)(**self.options)

    def test_parameter_count(self) -> None:
        assert sum(parameter.numel() for parameter in self.make().parameters()) == self.parameters

    @pytest.mark.slow
    def test_compiles_and_exports_where_declared(self) -> None:
        super().test_compiles_and_exports_where_declared()

    def test_ptg_rm_learns_on_the_deepest_tap(self) -> None:
        """Placement `features`: the size is kept and one backward pass reaches R's every parameter."""
        if not self.make().capabilities.taps:
            pytest.skip("declares no tap")
        part = PartRef(name=self.name, options=self.options)
        variant = Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss"), placement="features")
        task, train = PartRef(name="low_light"), PartRef(name="photos")
        model = build_model(Cell(task=task, train=train, backbone=part, variant=variant), REGISTRY, PRIOR_DIM)
        checks.stir(model)
        lq, prior = self.images(model.capabilities), checks.unit_rows(BATCH, PRIOR_DIM)
        assert model.refiner is not None
        lost = checks.without_gradient(model.refiner, lambda: model(lq, prior).final.square().mean())
        assert not lost, f"no gradient for {lost}"
        with checks.evaluated(model), torch.no_grad():
            assert model(lq, prior).final.shape[-2:] == lq.shape[-2:]
