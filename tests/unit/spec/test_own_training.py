"""What networks and refiners declare of their training, and what a suite makes of it."""

from __future__ import annotations

from pathlib import Path

from harness.cells.cell import Cell
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand
from harness.spec.parse import load_suite

SUITE = "suite: s\ndefaults: {{dataset: photos, task: low_light, recipe: {{steps: 10}}}}\nblocks:\n  - {}\n"


def cells(tmp_path: Path, block: str) -> list[Cell]:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.format(block))
    suite = expand(load_suite(str(file)), REGISTRY)
    return [entry.cell for entry in suite.cells if entry.cell.backbone]


def losses(cell: Cell) -> list[list[str]]:
    return [[term.part.name for term in part.losses or ()] for part in cell.recipe.parts]


def test_a_networks_own_losses_are_used_when_a_suite_names_none(tmp_path: Path) -> None:
    own, given, plain = cells(
        tmp_path,
        "{matrix: {backbone: [zero_dce]}}\n  - {backbone: zero_dce, recipe: {losses: [l1]}}\n  - {backbone: nafnet}",
    )
    assert [losses(cell) for cell in (own, given, plain)] == [[["zero_dce"]], [["l1"]], [["charbonnier"]]]


def test_declared_stages_share_the_steps_and_the_refiner_learns_in_the_last(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path, "{backbone: uretinex, variant: {refiner: ptg_rm, prior: random}}")
    assert [stage.steps for stage in cell.recipe.stages] == [4, 4, 2]
    assert [stage.trains for stage in cell.recipe.stages] == [
        ("backbone.decomposition",),
        ("backbone.reflectance", "backbone.illumination"),
        ("backbone.adjustment", "refiner"),
    ]
    assert all(stage.restart for stage in cell.recipe.stages)
    (joint,) = cells(tmp_path, "{backbone: uretinex, recipe: {losses: [l1]}}")
    assert joint.recipe.stages == ()


def test_a_frozen_network_leaves_its_own_stages_out(tmp_path: Path) -> None:
    base, continued, cell = cells(
        tmp_path, "{backbone: uretinex, variant: {refiner: ptg_rm, prior: random, regime: frozen}}"
    )
    assert len(base.recipe.stages) == 3
    assert continued.recipe == base.recipe
    assert [(stage.steps, stage.trains) for stage in cell.recipe.stages] == [(10, ("backbone.adjustment", "refiner"))]


def test_what_a_refiner_adds_is_part_of_its_cells(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path, "{backbone: restormer, variant: {refiner: {name: smg, size: 64}}}")
    assert [(term.part.name, term.weight) for term in cell.variant.losses] == [
        ("smg_structure", 5.0),
        ("smg_adversary", 1.0),
    ]
    assert cell.variant.prior is None
    assert {"smg_structure", "smg_adversary"} < {term.part.name for term in cell.loss_terms}
    assert cell.train_features(0) is None


REFINER_LAST = "stages: [{steps: 3, patch: 32, trains: [backbone]}, {steps: 7, trains: [refiner.head, refiner]}]"
REFINED = "{refiner: ptg_rm, prior: random, regime: %s}"


def test_cells_without_a_refiner_leave_its_stages_out(tmp_path: Path) -> None:
    """In a stage that trains the refiner alone a backbone by itself has nothing to train."""
    block = f"{{backbone: nafnet, recipe: {{{REFINER_LAST}}}, variant: {REFINED % 'from_base'}}}"
    base, continued, refined = cells(tmp_path, block)
    alone = [(10, 32, ("backbone",))]
    for cell in (base, continued):
        assert [(stage.steps, stage.patch, stage.trains) for stage in cell.recipe.stages] == alone
    assert continued.base is not None
    assert continued.base.id == refined.base.id == base.id
    assert [stage.steps for stage in refined.recipe.stages] == [3, 7]
    listed = f"matrix: {{variant: [base_continued, {REFINED % 'frozen'}]}}"
    listed_too = cells(tmp_path, f"{{backbone: nafnet, recipe: {{{REFINER_LAST}}}, {listed}}}")
    assert [cell.id for cell in listed_too][:2] == [base.id, continued.id]
    plain, plain_continued, _ = cells(
        tmp_path,
        f"{{backbone: nafnet, recipe: {{stages: [{{steps: 10, patch: 32, trains: [refiner]}}]}}, "
        f"variant: {REFINED % 'frozen'}}}",
    )
    assert plain.recipe == plain_continued.recipe
    assert (plain.recipe.stages, plain.recipe.steps, plain.recipe.patch) == ((), 10, 64)
    assert plain.id == cells(tmp_path, "{backbone: nafnet}")[0].id


def test_the_network_behind_a_prior_leaves_a_refiners_stages_out(tmp_path: Path) -> None:
    prior = "{name: restoration, source: {task: low_light, backbone: nafnet}}"
    source, joint = cells(
        tmp_path,
        f"{{backbone: restormer, recipe: {{{REFINER_LAST}}}, variant: {{refiner: ptg_rm, prior: {prior}}}}}",
    )
    assert [(stage.steps, stage.trains) for stage in source.recipe.stages] == [(10, ("backbone",))]
    assert [stage.steps for stage in joint.recipe.stages] == [3, 7]


def test_a_label_stays_with_a_recipe_of_which_stages_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    recipes = f"[{{label: late, {REFINER_LAST}}}, {{label: plain}}]"
    frozen = "{refiner: ptg_rm, prior: random, regime: frozen, continued: false}"
    file.write_text(SUITE.format(f"{{backbone: nafnet, matrix: {{recipe: {recipes}, variant: [base, {frozen}]}}}}"))
    labels = [entry.labels.variant for entry in expand(load_suite(str(file)), REGISTRY).cells if entry.cell.backbone]
    assert [label for label in labels if "ptg" not in label] == ["base [label=late]", "base [label=plain]"]
