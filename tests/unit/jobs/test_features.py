"""Vectors are of their images alone: a prior whose rows depend on what came before is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.cell import Variant
from harness.core.errors import HarnessError
from harness.jobs import features, train
from harness.jobs.context import Context
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.job import FeaturesWork
from tests.small_world import SmallWorld, refined_cell, small_cell

PRIOR = '''
from harness.api.prior import PriorTraits

class P:
    """A prior."""

    traits = PriorTraits()

    def __init__(self) -> None:
        self.dim = 3
        self.calls = 0

    def encode(self, lq_BCHW):
        self.calls += 1
        return lq_BCHW.mean(dim=(2, 3)) * {factor}

CATALOGUE = (("prior", "mine", "P"),)
'''


def encode(world: SmallWorld, folder: Path, factor: str) -> None:
    file = folder / "own.py"
    file.write_text(PRIOR.replace("{factor}", factor))
    registry = extend(REGISTRY, [str(file)])
    version = declaration(registry, "prior", "mine").version
    cell = refined_cell(PartRef(name="mine", version=version))
    wanted = cell.train_features(0)
    assert wanted is not None
    features.run(world.job(FeaturesWork(features=wanted)), Context(world.layout, registry))


@pytest.mark.parametrize("factor", ["self.calls", "(1 if self.calls < 4 else 2)"])
def test_a_prior_that_counts_its_calls_is_refused(world: SmallWorld, tmp_path: Path, factor: str) -> None:
    with pytest.raises(HarnessError, match="gives the first image another vector") as caught:
        encode(world, tmp_path, factor)
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{tmp_path / 'own.py'}:4")


def test_a_prior_that_counts_its_calls_is_refused_before_it_is_trained_with_live(
    world: SmallWorld, tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(PRIOR.replace("{factor}", "self.calls"))
    registry = extend(REGISTRY, [str(file)])
    mine = PartRef(name="mine", version=declaration(registry, "prior", "mine").version)
    live = Variant(refiner=PartRef(name="ptg_rm"), prior=mine, features="live")
    cell = small_cell(variant=live)
    with pytest.raises(HarnessError, match="gives one image two vectors") as caught:
        train.run(world.train_job(cell), Context(world.layout, registry))
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{file}:4")
    assert world.curve(cell) == []


def test_a_prior_of_its_image_alone_is_taken(world: SmallWorld, tmp_path: Path) -> None:
    encode(world, tmp_path, "1")
