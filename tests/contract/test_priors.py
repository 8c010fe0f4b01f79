"""Every built-in prior keeps what a prior promises."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.models.assemble import build_model
from harness.parts.catalogue import REGISTRY
from harness.parts.priors.clip import Clip
from harness.parts.priors.controls import Mean, RandomVectors, Shuffled
from harness.parts.priors.nss import NaturalSceneStatistics
from harness.parts.priors.restoration import Restoration
from harness.testing import checks
from harness.testing.prior import DerivedPriorContract, PriorContract
from tests import tiny_clip
from tests.absent_gpu import absent_gpu, on_gpu, waits_of


class TestNaturalSceneStatistics(PriorContract):
    sides = (48, 67)

    def make(self) -> Any:
        return NaturalSceneStatistics()


class TestClip(PriorContract):
    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path) -> None:
        self.options: dict[str, Any] = {**tiny_clip.write(tmp_path)}

    def make(self) -> Any:
        return Clip(**self.options)

    def test_waits_for_nothing_on_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In training with live features."""
        prior, lq = self.make(), checks.images(2, 3, 40, 36)
        with absent_gpu():
            network = on_gpu(prior._network)
            monkeypatch.setattr(network, "to", lambda device: network)
            assert waits_of(prior.encode, on_gpu(lq)) == []


class TestClipPatches(TestClip):
    def make(self) -> Any:
        return Clip(**self.options, view="squash", tokens="patches")

    def test_its_row_is_a_map(self) -> None:
        prior = self.make()
        assert prod(prior.shape) == prior.dim == 24 * 4 * 4


class TestRestorationOfNAFNet(PriorContract):
    sides = (48, 67)
    backbone = PartRef(
        name="nafnet", options={"width": 4, "enc_blk_nums": [1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1]}
    )

    def make(self) -> Any:
        source = Cell(task=PartRef(name="derain"), train=PartRef(name="photos"), backbone=self.backbone)
        return Restoration(build_model(source, REGISTRY, None), source=source.id)


class TestRestorationOfRestormer(TestRestorationOfNAFNet):
    backbone = PartRef(name="restormer", options={"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1})


class TestRandomVectors(DerivedPriorContract):
    def make(self) -> Any:
        return RandomVectors()


class TestRandomMaps(DerivedPriorContract):
    def make(self) -> Any:
        return RandomVectors(dim=5, grid=2)

    def test_its_row_is_a_map(self) -> None:
        rows = self.derive()
        assert rows.shape == (6, 20)
        assert self.make().shape == (5, 2, 2)


class TestShuffled(DerivedPriorContract):
    def make(self) -> Any:
        return Shuffled(of=PartRef(name="nss"))


class TestMean(DerivedPriorContract):
    def make(self) -> Any:
        return Mean(of=PartRef(name="nss"))


@pytest.mark.parametrize("name", REGISTRY.names("prior"))
def test_planning_reads_what_running_code_uses(name: str) -> None:
    assert declaration(REGISTRY, "prior", name).traits == REGISTRY.load("prior", name).traits


def test_every_built_in_prior_is_here() -> None:
    covered = {NaturalSceneStatistics, Clip, Restoration, RandomVectors, Shuffled, Mean}
    assert {REGISTRY.load("prior", name) for name in REGISTRY.names("prior")} == covered
