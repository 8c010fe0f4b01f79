"""Presets of refiners set the refiner's options, below those of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.cells.cell import Cell
from harness.parts.catalogue import REGISTRY
from harness.recipes.presets import Preset, all_presets, recipe_use
from tests.unit.recipes.suites import expanded

PTG_RM = "{refiner: ptg_rm, prior: nss}"


def refined(tmp_path: Path, block: str) -> list[tuple[Cell, str]]:
    """The cells with a refiner, and how tables call their variants."""
    cells = expanded(tmp_path, f"{{task: low_light, backbone: snr_net, {block}}}").cells
    return [(entry.cell, entry.labels.variant) for entry in cells if entry.cell.variant.refiner]


def head_and_start(made: Cell) -> tuple[str, str]:
    assert made.variant.refiner is not None
    options = made.variant.refiner.options
    return options["head"], options["start"]


def test_a_preset_of_a_refiner_sets_its_options(tmp_path: Path) -> None:
    [(made, _)] = refined(tmp_path, f"recipe: {{preset: ptg_rm/sid}}, variant: {PTG_RM}")
    assert head_and_start(made) == ("residual", "published")
    use = recipe_use(made, 1)
    assert use is not None
    assert not [name for name in use.differs if name.startswith("refiner")]


def test_what_the_suite_sets_lies_above_and_is_on_record(tmp_path: Path) -> None:
    variant = "{refiner: {name: ptg_rm, head: mask_residual}, prior: nss}"
    [(made, _)] = refined(tmp_path, f"recipe: {{preset: ptg_rm/sid}}, variant: {variant}")
    assert head_and_start(made) == ("mask_residual", "published")
    use = recipe_use(made, 1)
    assert use is not None
    own = {name: pair for name, pair in use.differs.items() if name.startswith("refiner")}
    assert own == {"refiner.head": ("residual", "mask_residual")}


def test_presets_of_other_networks_leave_it_alone(tmp_path: Path) -> None:
    for preset in ("skf/low_light", "official"):
        [(made, _)] = refined(tmp_path, f"recipe: {{preset: {preset}}}, variant: {PTG_RM}")
        assert head_and_start(made) == ("mask_residual", "near_initial")


def test_one_variant_under_two_recipes_has_the_options_of_each(tmp_path: Path) -> None:
    made = refined(tmp_path, f"matrix: {{variant: [base, {PTG_RM}], recipe: [{{steps: 5}}, {{preset: ptg_rm/sid}}]}}")
    options = [head_and_start(cell) for cell, _ in made]
    assert options == [("mask_residual", "near_initial"), ("residual", "published")]
    assert len({label for _, label in made}) == 2


@pytest.mark.parametrize("preset", [each for each in all_presets() if each.refiner], ids=lambda preset: preset.name)
def test_the_options_are_the_refiners(preset: Preset) -> None:
    assert preset.refiner.keys() <= declaration(REGISTRY, "refiner", preset.network).options.keys()
