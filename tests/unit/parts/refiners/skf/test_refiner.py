"""The refiner `skf` as suites and planning see it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.api.traits import FromOption, LossUse
from harness.cells.cell import Cell, Variant
from harness.core.errors import MissingWeights
from harness.parts.catalogue import REGISTRY
from harness.parts.refiners.skf.refiner import SKF
from harness.planning.job import EvaluateWork, TrainWork, Work
from harness.planning.missing import lacks
from harness.weights.files import needed_files
from tests import tiny_hrnet

DEFAULTS = {"checkpoint": None, "semantics": "input", "passes": 2, "guidance": "own", "heads": 2}


def test_what_a_suite_is_told() -> None:
    declared = declaration(REGISTRY, "refiner", "skf")
    assert {name: option.default for name, option in declared.options.items()} == DEFAULTS
    assert declared.traits == SKF.traits
    assert declared.traits.weights
    assert declared.traits.placements == ("features",)
    assert declared.traits.edits == "decoder"
    assert not declared.traits.needs_prior
    assert declared.traits.losses == (LossUse("skf_histogram", 1e4),)
    assert declared.traits.passes == FromOption("passes")
    assert declared.version == "2"


def test_planning_can_ask_without_torch() -> None:
    code = (
        "import sys; from harness.api.declaration import declaration;"
        "from harness.parts.catalogue import REGISTRY; from harness.weights.files import needed_files;"
        "declared = declaration(REGISTRY, 'refiner', 'skf');"
        "options = {name: option.default for name, option in declared.options.items()};"
        "print(needed_files(declared.traits, options, 'refiner skf')[0].name); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "hrnet/w48-pascal-context\n"


def test_it_reads_the_truth_where_an_option_says_so() -> None:
    when = SKF.traits.reads_truth
    assert when is not None
    assert not when.holds(DEFAULTS)
    assert when.holds(DEFAULTS | {"semantics": "truth"})


def test_without_the_file_it_is_blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    (file,) = needed_files(SKF.traits, DEFAULTS | {"semantics": "truth"}, "refiner skf")
    assert file.path == str(tmp_path / "hrnet" / "w48-pascal-context.safetensors")
    with pytest.raises(MissingWeights) as caught:
        SKF((8, 8))
    assert caught.value.hint == file.fetch == "bench weights fetch hrnet/w48-pascal-context"


def test_cells_without_the_file_are_blocked_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    for options, blocked in ({}, True), (tiny_hrnet.write(tmp_path), False):
        refiner = PartRef(name="skf", options=options)
        cell = Cell(
            task=PartRef(name="low_light"),
            train=PartRef(name="photos"),
            backbone=PartRef(name="snr_net"),
            variant=Variant(refiner=refiner, placement="features"),
        )
        works: dict[str, Work] = {
            "train": TrainWork(cell=cell),
            "evaluate": EvaluateWork(cell=cell, tests=(), metrics=()),
        }
        reasons = lacks(works, REGISTRY)
        assert reasons.keys() == (works.keys() if blocked else set())
        assert all(reason.what.endswith("bench weights fetch hrnet/w48-pascal-context") for reason in reasons.values())


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    refiner = SKF((8, 4), checkpoint=tiny_hrnet.write(tmp_path)["checkpoint"], semantics="truth", heads=4)
    assert refiner.reads_truth
    assert [block.attn.heads for block in refiner.blocks] == [4, 4]
    (file,) = needed_files(SKF.traits, DEFAULTS | {"checkpoint": str(tmp_path / "none.pth")}, "refiner skf")
    assert file.path in file.fetch
