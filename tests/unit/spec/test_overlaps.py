"""Suites that would test networks on pictures that they were trained on, as data sets declare it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.reference import PartRef
from harness.cells.overlaps import declared_overlaps, shared_by, shared_splits, trained_on
from harness.cells.suite import ResolvedSuite
from harness.core.errors import SpecErrors
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite
from harness.spec.notes import notes
from harness.spec.unread import Unread
from tests.unit.records.made import cell, refined

WHY = "the training images of LOL-v1 contain test images of LOL-v2-real"
SUITE = """
suite: s
{top}
blocks:
  - task: low_light
    dataset: {train}
    backbone: {{name: nafnet, width: 8}}
    recipe: {{steps: 2}}
    test: [{test}]
    {more}
"""
RESTORATION = """
    matrix:
      variant:
        - refiner: ptg_rm
          prior: {name: restoration, source: {task: low_light, backbone: {name: nafnet, width: 8}, dataset: lol_v1}}
"""


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))


def opened(folder: Path, train: str, test: str, top: str = "", more: str = "") -> ResolvedSuite:
    """A suite of data sets of the field. None is prepared: what they declare is known without them."""
    (folder / "s.yaml").write_text(SUITE.format(train=train, test=test, top=top, more=more))
    return open_suite(str(folder / "s.yaml"), (), Unread())[0]


def refused(folder: Path, train: str, test: str, more: str = "") -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        opened(folder, train, test, more=more)
    return [str(problem) for problem in caught.value.problems]


def test_a_declared_overlap_is_refused_at_its_place_with_the_reason_and_the_way_out(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "lol_v1", "lol_v1, lol_v2_real")
    assert "s.yaml:9:11 · blocks.0.test · lol_v1 is trained on, and shares pictures with" in problem
    assert f"the test set lol_v2_real: {WHY}" in problem
    assert "allow_overlap: true" in problem


def test_it_is_one_mistake_however_many_cells_have_it(tmp_path: Path) -> None:
    assert len(refused(tmp_path, "lol_v1", "lol_v2_real", "seeds: [0, 1, 2]")) == 1


@pytest.mark.parametrize(("train", "test"), [("lol_v1", "lol_v1"), ("lol_v2_real", "lol_v1"), ("dfwb", "cbsd68")])
def test_sets_that_share_no_training_picture_pass(train: str, test: str, tmp_path: Path) -> None:
    assert not opened(tmp_path, train, test).allow_overlap


def test_a_suite_that_allows_it_runs_and_no_identity_knows_of_it(tmp_path: Path) -> None:
    allowed = opened(tmp_path, "lol_v1", "lol_v2_real", "allow_overlap: true")
    assert allowed.allow_overlap
    plain = opened(tmp_path, "lol_v1", "lol_v1")
    same = opened(tmp_path, "lol_v1", "lol_v1", "allow_overlap: true")
    assert [each.cell.id for each in plain.cells] == [each.cell.id for each in same.cells]
    assert "allow_overlap" not in plain.model_dump(mode="json")
    assert ResolvedSuite.model_validate(allowed.model_dump(mode="json")).allow_overlap


def test_what_a_prior_was_trained_on_counts(tmp_path: Path) -> None:
    found = refused(tmp_path, "lol_v2_syn", "lol_v2_real", RESTORATION.strip())
    assert any("lol_v1 is trained on, and shares pictures with the test set lol_v2_real" in each for each in found)


def test_bases_and_sources_count_through_chains_and_published_weights_do_not() -> None:
    source = cell(train=PartRef(name="lol_v1"))
    base = cell(train=PartRef(name="lol_v2_real"), prior_source=source)
    chained = refined(train=PartRef(name="lol_v2_syn"), base=base)
    assert [ref.name for ref in trained_on(chained)] == ["lol_v2_syn", "lol_v2_real", "lol_v1"]
    found = list(declared_overlaps(chained, [(PartRef(name="lol_v2_real"), "test")], REGISTRY))
    assert [(each.train.name, each.test.name, each.split, each.why) for each in found] == [
        ("lol_v1", "lol_v2_real", "test", WHY)
    ]
    assert not list(declared_overlaps(chained, [(PartRef(name="lol_v2_real"), "train")], REGISTRY))
    assert not list(declared_overlaps(cell(backbone=None), [(PartRef(name="lol_v2_real"), "test")], REGISTRY))


def test_either_set_may_declare_it_and_unknown_ones_declare_nothing() -> None:
    assert shared_by("rain13k", "val", "rain100l", "test", REGISTRY) == shared_by(
        "rain100l", "test", "rain13k", "val", REGISTRY
    )
    assert [each[:2] for each in shared_splits("rain13k", "rain100l", REGISTRY)] == [("val", "test")]
    assert shared_by("rain13k", "train", "rain100l", "test", REGISTRY) == ()
    assert shared_splits("gone", "photos", REGISTRY) == []


def test_a_test_set_that_chose_published_checkpoints_is_a_note(tmp_path: Path) -> None:
    text = SUITE.format(train="rain13k", test="rain100l, rain100h", top="", more="").replace("low_light", "derain")
    (tmp_path / "s.yaml").write_text(text)
    found = notes(open_suite(str(tmp_path / "s.yaml"), (), Unread())[0], REGISTRY)
    assert len(found) == 1
    assert found[0].startswith("the test set rain100l shares pictures with the split val of rain13k: ")
