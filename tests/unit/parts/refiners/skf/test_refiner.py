"""The refiner `skf` as suites and planning see it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.api.reference import PartRef
from harness.core.errors import MissingWeights
from harness.parts.catalogue import REGISTRY
from harness.parts.refiners.skf.refiner import PUBLISHED, SKF
from harness.planning.job import EvaluateWork, TrainWork
from harness.planning.needs import Needs
from harness.spec.cell import Cell, Variant
from tests import tiny_hrnet


def test_what_a_suite_is_told() -> None:
    signature = REGISTRY.signature("refiner", "skf")
    assert signature.options.keys() == {"checkpoint", "semantics", "heads"}
    assert signature.needs_weights
    assert signature.declared == {
        "placements": ("features",),
        "needs_prior": False,
        "losses": (("skf_histogram", 1e4, {}),),
    }


def test_planning_can_ask_without_torch() -> None:
    code = "import sys, harness.parts.refiners.skf.refiner as r; r.SKF.weights(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_file_it_is_blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    (file,) = SKF.weights(semantics="truth")
    assert file.path == str(tmp_path / f"{PUBLISHED}.safetensors")
    with pytest.raises(MissingWeights) as caught:
        SKF((8, 8))
    assert caught.value.hint == file.fetch == "bench weights fetch hrnet/w48-pascal-context"


def test_cells_without_the_file_are_blocked_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    needs = Needs(REGISTRY)
    for options, blocked in ({}, True), (tiny_hrnet.write(tmp_path), False):
        refiner = PartRef(name="skf", options=options)
        cell = Cell(
            task=PartRef(name="low_light"),
            train=PartRef(name="photos"),
            backbone=PartRef(name="snr_net"),
            variant=Variant(refiner=refiner, placement="features"),
        )
        for work in TrainWork(cell=cell), EvaluateWork(cell=cell, tests=(), metrics=()):
            reason = needs.of_work(work)
            assert (reason or "").endswith("bench weights fetch hrnet/w48-pascal-context" if blocked else "")
            assert (reason is not None) is blocked


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    options = tiny_hrnet.write(tmp_path)
    refiner = SKF((8, 4), **options, semantics="truth", heads=4)
    assert refiner.reads_truth
    assert [block.attn.heads for block in refiner.blocks] == [4, 4]
    (file,) = SKF.weights(checkpoint=str(tmp_path / "none.pth"))
    assert file.path in file.fetch
