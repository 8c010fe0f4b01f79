"""What the presets of URetinex-Net and SMG say, against the authors' scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.cell import Cell
from harness.training.optim import learning_rate
from tests.unit.recipes.suites import expanded


def cells(tmp_path: Path, block: str) -> dict[str, Cell]:
    found = expanded(tmp_path, block.replace("{", "{task: low_light, ", 1)).cells
    return {entry.labels.variant: entry.cell for entry in found if entry.cell.backbone}


def test_uretinex_trains_in_the_authors_stages(tmp_path: Path) -> None:
    recipe = cells(tmp_path, "{backbone: uretinex, recipe: {preset: official}}")["base"].recipe
    an_epoch = 485 // 4
    assert [stage.steps // an_epoch for stage in recipe.stages] == [340, 2000, 100]
    assert sum(stage.steps for stage in recipe.stages) == recipe.steps == 295_240
    assert [(part.batch, part.patch, part.betas) for part in recipe.parts] == [
        (4, 48, (0.99, 0.9)),
        (4, 48, (0.9, 0.999)),
        (4, 96, (0.99, 0.9)),
    ]
    steps = (1, 41_140, 41_141, 71_140, 71_141, 283_140, 283_141, 295_240)
    rates = [learning_rate(recipe, step) for step in steps]
    assert rates == pytest.approx([1e-4, 1e-4, 2e-4, 2e-4, 2e-5, 2e-5, 1e-4, 1e-4])
    assert [[term.part.name for term in stage.losses or ()] for stage in recipe.stages] == [
        ["uretinex_decomposition"],
        ["uretinex_unfolding", "uretinex_features"],
        ["uretinex_adjustment"],
    ]


def test_a_refiner_of_uretinex_trains_in_the_last_stage(tmp_path: Path) -> None:
    made = cells(tmp_path, "{backbone: uretinex, recipe: {preset: official, steps: 2440}, variant: {refiner: smg}}")
    recipe = made["smg"].recipe
    assert made["smg"].backbone.options["truth_trains"] is True
    assert recipe.stages[-1].trains == ("backbone.adjustment", "refiner")
    assert recipe.for_refiner.parts[0].patch == 96


def test_smg_weighs_the_final_image_by_ten_and_takes_its_own_lpips(tmp_path: Path) -> None:
    made = cells(tmp_path, "{backbone: smg_appearance, recipe: {preset: smg/low_light}, variant: {refiner: smg}}")[
        "smg"
    ]
    mse, lpips = made.recipe.losses
    assert (mse.part.name, mse.weight, mse.refined_weight) == ("mse", 1.0, 10.0)
    assert (lpips.weight, lpips.refined_weight) == (0.8, None)
    assert lpips.part.options == {"scaled": False, "differences": "absolute"}
    assert [(term.part.name, term.weight) for term in made.variant.losses] == [
        ("smg_structure", 5.0),
        ("smg_adversary", 1.0),
    ]
