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
from tests.absent_gpu import absent_gpu, on_gpu, waits_of
from tests.refused import refused_of

PRIOR_DIM = 8


class Catalogued(BackboneContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]
    keeps: ClassVar[bool] = False
    """Whether it keeps what it has made on the host for images of one size."""

    def make(self) -> Any:
        return REGISTRY.load("backbone", self.name)(**self.options)

    def test_parameter_count(self) -> None:
        assert sum(parameter.numel() for parameter in self.make().parameters()) == self.parameters

    def test_waits_for_nothing_on_a_gpu(self) -> None:
        """Waits neither in training nor in test."""
        network = self.fresh()
        can, traits = network.capabilities, self.part.traits
        lq = self.images(can)
        with absent_gpu():
            network, lq = on_gpu(network), on_gpu(lq)
            truth = [] if traits.reads_truth is None else [on_gpu(self.images(can))]
            told = [on_gpu(torch.ones(BATCH)) for _ in can.told]
            train = network.train().outputs if traits.outputs else network.train()
            if self.keeps:
                assert waits_of(train, lq, *truth, *told) != []
            assert waits_of(train, lq, *truth, *told) == []
            with checks.evaluated(network):
                assert waits_of(network, lq) == []
                if traits.guided:
                    assert waits_of(network.guided, lq, lq[:, :1]) + waits_of(network.guide, lq) == []

    def test_can_be_trained_deterministically(self) -> None:
        """Needs no operation that torch refuses on a GPU in deterministic mode."""
        network = self.fresh().train()
        lq = self.images(network.capabilities)
        truth = () if self.part.traits.reads_truth is None else (self.images(network.capabilities),)
        train = network.outputs if self.part.traits.outputs else network
        assert refused_of(lambda: checks.total(train(lq, *truth))) == set()

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
