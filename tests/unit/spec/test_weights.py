"""Backbones that come with published weights, in a suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.cell import Cell
from harness.cells.suite import ResolvedSuite
from harness.core.errors import SpecErrors
from harness.core.identity import file_sha256
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand
from harness.spec.parse import load_suite
from tests.small_weights import use_registry

SUITE = "suite: s\ndefaults: {{dataset: photos, task: low_light, recipe: {{steps: 10}}}}\nblocks:\n  - {}\n"
NET = "{name: nafnet, weights: small/net}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_registry(monkeypatch, tmp_path)


def read(tmp_path: Path, block: str) -> ResolvedSuite:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.format(block))
    return expand(load_suite(str(file)), REGISTRY)


def cells(tmp_path: Path, block: str) -> list[Cell]:
    return [entry.cell for entry in read(tmp_path, block).cells if entry.cell.backbone]


def mistakes(tmp_path: Path, block: str) -> list[str]:
    with pytest.raises(SpecErrors) as failure:
        read(tmp_path, block)
    return [str(problem) for problem in failure.value.problems]


def test_weights_bring_the_options_that_they_were_trained_with(tmp_path: Path, folder: Path) -> None:
    (cell,) = cells(tmp_path, f"{{backbone: {NET}}}")
    assert cell.backbone is not None
    assert cell.backbone.weights == "small/net"
    assert (cell.backbone.options["width"], cell.backbone.options["enc_blk_nums"]) == (4, [1])
    assert cell.ready_made
    (other,) = cells(tmp_path, "{backbone: {name: nafnet, weights: small/net, tlc: 64}}")
    assert other.backbone is not None
    assert (other.backbone.options["width"], other.backbone.options["tlc"]) == (4, 64)


def test_the_content_of_the_file_is_in_identity(tmp_path: Path, folder: Path) -> None:
    block = f"{{matrix: {{backbone: [{NET}, {{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, "
    block += "dec_blk_nums: [1]}]}}"
    missing, scratch = cells(tmp_path, block)
    assert missing.id != scratch.id
    assert "weights" not in scratch.identity()["backbone"]
    ids = [missing.id]
    for content in ("one", "two"):
        file = folder / "small" / "net.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "!" * len(ids))
        (cell,) = cells(tmp_path, f"{{backbone: {NET}}}")
        assert cell.backbone is not None
        assert cell.backbone.digest == file_sha256(file)
        ids.append(cell.id)
    assert len(set(ids)) == 3


def test_no_recipe_changes_what_is_not_trained(tmp_path: Path) -> None:
    one, two = (
        cells(tmp_path, f"{{backbone: {NET}, recipe: {{steps: {steps}, batch: 4}}}}")[0].id for steps in (10, 20)
    )
    assert one == two


def test_refiners_start_from_the_published_network(tmp_path: Path) -> None:
    block = f"{{backbone: {NET}, matrix: {{variant: [base, {{refiner: ptg_rm, prior: random, regime: frozen}}]}}}}"
    base, continued, refined = cells(tmp_path, block)
    assert refined.base == continued.base == base
    assert base.ready_made
    assert not refined.ready_made
    assert not continued.ready_made
    assert continued.recipe.steps == 10
    assert refined.recipe.steps == 10
    labels = {entry.labels.backbone for entry in read(tmp_path, block).cells if entry.cell.backbone}
    assert labels == {"nafnet (small/net)"}


def test_a_proxy_preset_does_not_scale_a_published_network(tmp_path: Path) -> None:
    block = f"{{backbone: {NET}, variant: {{refiner: ptg_rm, prior: random, regime: frozen}}, "
    *_, refined = cells(tmp_path, block + "recipe: {preset: proxy, steps: 20}}")
    assert refined.backbone is not None
    assert refined.backbone.options["width"] == 4


def test_mistakes_are_told_together(tmp_path: Path) -> None:
    nets = f"[{{name: nafnet, weights: small/nut}}, {{name: restormer, weights: small/net}}, {NET}]"
    block = f"{{matrix: {{backbone: {nets}, variant: [{{refiner: ptg_rm, prior: random}}]}}}}"
    unknown, foreign, joint = mistakes(tmp_path, block)
    assert "no checkpoint is called 'small/nut'" in unknown
    assert "did you mean 'small/net'" in unknown
    assert "small/net is for backbone nafnet" in foreign
    assert "not for backbone restormer" in foreign
    assert "regime joint trains from scratch, and nafnet comes with small/net" in joint
    assert "regime: from_base" in joint


@pytest.mark.parametrize("variant", ["refiner: ptg_rm, prior: random, regime: frozen", "regime: from_base"])
def test_a_recipe_for_a_base_that_is_not_trained_is_refused(tmp_path: Path, variant: str) -> None:
    [told] = mistakes(tmp_path, f"{{backbone: {NET}, variant: {{{variant}, base_recipe: {{steps: 9}}}}}}")
    assert "base_recipe does nothing: nafnet comes with small/net, so that no base is trained" in told
    assert "remove base_recipe" in told


def test_a_published_base_needs_no_loss(tmp_path: Path) -> None:
    """With frozen only the refiner trains, and only losses on its restoration count."""
    losses = "losses: [{name: l1, weight: 0, refined_weight: 1}]"
    variant = "{refiner: ptg_rm, prior: random, regime: frozen, continued: false}"
    base, refined = cells(tmp_path, f"{{backbone: {NET}, variant: {variant}, recipe: {{{losses}}}}}")
    assert base.ready_made
    assert refined.recipe.losses[0].refined_weight == 1
