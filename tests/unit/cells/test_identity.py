"""What changes a cell's id, and what must not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import ResolvedSuite
from harness.parts.plugins import extend, open_suite

FULL = """
suite: s
defaults: {dataset: pictures, seeds: [0, 1], recipe: {steps: 30, lr: 0.01}}
blocks:
  - matrix:
      task: [denoise, {name: denoise, sigma: 5}]
      backbone: [net, {name: net, width: 4, act: gelu}]
      variant:
        - base
        - {refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other}}}
  - {task: rainy, backbone: other, variant: {refiner: refine, prior: plain, regime: frozen}}
"""

REORDERED = """
# The same cells, otherwise written.
blocks:
  - {variant: {regime: frozen, label: cold, prior: {name: plain}, refiner: {label: R, name: refine}},
     backbone: {name: other}, task: rainy}
  - matrix:
      variant:  # another order
        - {prior: {source: {backbone: other, task: rainy}, name: learned, label: taught}, refiner: refine, label: T}
        - base
      backbone: [{act: gelu, label: Big, width: 4, name: net}, {name: net, label: Small}]
      task: [{sigma: 5.0, name: denoise, label: weak}, {name: denoise, sigma: 25}]
metrics: [ssim]
run: {cpus: 3, checkpoint_every: 7, retries: 0}
description: other words
defaults: {recipe: {lr: 1e-2, steps: 30}, seeds: [1, 0], dataset: {name: pictures, label: P}}
suite: renamed
"""


def ids(suite: ResolvedSuite) -> set[str]:
    return {entry.cell.id for entry in suite.cells}


def last(suite: ResolvedSuite) -> str:
    return suite.cells[-1].cell.id


def test_order_labels_comments_names_and_run_settings_do_not_change_ids(world) -> None:
    full = world.expand(FULL)
    assert len(ids(full)) == len(full.cells) == 25
    assert ids(world.expand(REORDERED)) == ids(full)


def test_a_suite_and_its_plugin_may_move(world, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(world.folder, moved, ignore=shutil.ignore_patterns("elsewhere"))
    before = ids(world.expand(FULL))
    other = type(world)(moved)
    assert other.registry.get("backbone", "net").target != world.registry.get("backbone", "net").target
    assert ids(other.expand(FULL)) == before


def test_comments_in_a_plugin_do_not_change_ids_but_code_does(world, tmp_path: Path) -> None:
    text = (world.folder / "parts.py").read_text()

    def ids_with(folder: str, content: str) -> set[str]:
        (tmp_path / folder).mkdir()
        other = type(world)(tmp_path / folder)
        (tmp_path / folder / "edited.py").write_text(content)
        other.registry = extend(type(world.registry)([]), [str(tmp_path / folder / "edited.py")])
        return ids(other.expand(FULL))

    before = ids(world.expand(FULL))
    assert ids_with("a", "# a remark\n" + text.replace("(version=3", "(version  =  3")) == before
    assert not ids_with("b", text.replace("(version=3", "(version=4")) & before
    assert not ids_with("c", text + "\nCONSTANT = 1\n") & before


def test_tests_do_not_change_ids(world) -> None:
    assert ids(world.blocks("- {test: [test_only]}")) == ids(world.blocks("- {seeds: [0]}"))


CHANGED: dict[str, Any] = {
    "steps": 31,
    "batch": 4,
    "patch": 32,
    "stride": 16,
    "crop": "grid",
    "regions": {"side": 512, "stride": 256},
    "resize": [400, 608],
    "pad": "reflect",
    "augment": "flip",
    "optimizer": "adam",
    "lr": 0.5,
    "lr_min": 1e-7,
    "betas": [0.8, 0.9],
    "weight_decay": 0.1,
    "schedule": "constant",
    "warmup": 3,
    "clip_grad": 1.0,
    "precision": "bf16",
    "micro_batch": 2,
    "refined_weight": 0.5,
    "losses": ["l1"],
    "mixup": 1.2,
    "grain": {"chance": 0.05, "sigma": 0.07},
    "grey": 0.3,
    "scale": {"chance": 0.5, "least": 0.7},
    "darken": {"chance": 0.5},
    "ema": 0.999,
    "rates": {"backbone": 0.5},
    "hold": 3,
    "cycles": [{"steps": 100, "lr_min": 1e-4}, {"steps": 200, "lr_min": 1e-6}],
    "milestones": [10],
    "gamma": 0.1,
    "stages": [{"steps": 100, "patch": 32}, {"steps": 200, "losses": ["l1"]}],
}


BESIDE: dict[str, dict[str, Any]] = {
    "stride": {"crop": "grid"},
    "milestones": {"schedule": "step", "milestones": [20]},
    "gamma": {"schedule": "step", "milestones": [20]},
}
"""What must be set for a field to mean anything."""


@pytest.mark.parametrize("field", [field for field in Recipe.model_fields if field != "preset"])
def test_every_field_of_the_recipe_changes_ids(world, field: str) -> None:
    """A new field fails here until a changed value stands above."""
    beside = BESIDE.get(field, {})
    plain = world.blocks("- {seeds: [0]}", f"blocks.0.recipe={beside}")
    changed = world.blocks("- {seeds: [0]}", f"blocks.0.recipe={beside | {field: CHANGED[field]}}")
    assert last(plain) != last(changed)
    again = world.blocks("- {seeds: [0]}", f"blocks.0.recipe={beside | {field: CHANGED[field]}}")
    assert last(again) == last(changed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{backbone: net}", "{backbone: other}"),
        ("{backbone: net}", "{backbone: {name: net, width: 17}}"),
        ("{backbone: net}", "{backbone: {name: net, blocks: [1, 2, 1]}}"),
        ("{backbone: net}", "{backbone: {name: net, act: gelu}}"),
        ("{backbone: net}", "{backbone: {name: net, bias: false}}"),
        ("{backbone: {name: net, scale: 0}}", "{backbone: net}"),
        ("{task: denoise}", "{task: rainy}"),
        ("{task: denoise}", "{task: {name: denoise, sigma: 26}}"),
        ("{dataset: pictures}", "{dataset: {name: pictures, size: 5}}"),
        ("{seeds: [0]}", "{seeds: [1]}"),
        ("{variant: base}", "{variant: {refiner: refine, prior: plain}}"),
        ("{recipe: {losses: [{name: l1}]}}", "{recipe: {losses: [{name: l1, weight: 2}]}}"),
        ("{recipe: {losses: [{name: l1}]}}", "{recipe: {losses: [{name: l1, eps: 0.5}]}}"),
        ("{recipe: {losses: [l1]}}", "{recipe: {losses: [l1, charbonnier]}}"),
    ],
)
def test_every_choice_changes_ids(world, one: str, other: str) -> None:
    assert last(world.blocks(f"- {one}")) != last(world.blocks(f"- {other}"))


@pytest.mark.parametrize(
    "change",
    [
        "refiner={name: refine, head: residual}",
        "prior={name: plain, dim: 9}",
        "prior={name: plain, seed: 1}",
        "prior={name: mixed, of: plain}",
        "prior={name: mixed, of: {name: plain, dim: 9}}",
        "prior={name: learned, source: {task: rainy, backbone: other}}",
        "prior={name: learned, source: {task: rainy, backbone: net}}",
        "prior={name: learned, source: {task: denoise, backbone: other}}",
        "prior={name: learned, source: {task: rainy, backbone: other, seed: 5}}",
        "prior={name: learned, source: {task: rainy, backbone: other, recipe: {steps: 5}}}",
        "prior={name: learned, source: {task: rainy, backbone: other, dataset: {name: pictures, size: 5}}}",
        "prior={name: learned, source: {task: rainy, backbone: other}, tap: first}",
        "placement=features",
        "regime=from_base",
        "regime=frozen",
        "views=8",
        "features=live",
    ],
)
def test_every_setting_of_a_variant_changes_ids(world, change: str, seen: dict[str, str]) -> None:
    block = "- {variant: {refiner: refine, prior: plain}}"
    changed = last(world.blocks(block, f"blocks.0.variant.{change}"))
    assert changed != last(world.blocks(block))
    assert seen.setdefault(changed, change) == change, "two changes gave one id"


@pytest.fixture(scope="module")
def seen() -> dict[str, str]:
    return {}


def test_the_base_recipe_changes_what_starts_from_it(world) -> None:
    block = "- {variant: {refiner: refine, prior: plain, regime: frozen, base_recipe: {steps: 5}}}"
    assert last(world.blocks(block)) != last(world.blocks(block, "blocks.0.variant.base_recipe.steps=6"))


def test_defaults_spelled_out_change_nothing(world) -> None:
    short = world.blocks("- {variant: {refiner: refine, prior: plain}}")
    long = world.blocks("""
        - variant: {refiner: {name: refine, head: mask}, prior: {name: plain, dim: 8, seed: 0}, placement: image,
                    regime: joint, features: image, views: 1}
          backbone: {name: net, width: 16, blocks: [1, 2], act: relu, bias: true, scale: null}
          task: {name: denoise, sigma: 25}
          recipe: {steps: 300, losses: [{name: charbonnier, weight: 1, eps: 1e-3}]}
        """)
    assert ids(short) == ids(long)


def test_a_copy_of_a_cell_has_its_own_id(world) -> None:
    cell = world.blocks("- {seeds: [0]}").cells[-1].cell
    assert cell.id == cell.model_copy().id
    assert cell.id != cell.model_copy(update={"seed": 1}).id
    assert cell.model_copy(update={"seed": 0}).id == cell.id
    again = Cell.model_validate_json(cell.model_dump_json())
    assert (again, again.id) == (cell, cell.id)


def test_a_stored_suite_keeps_its_ids(world) -> None:
    suite = world.expand(FULL)
    again = ResolvedSuite.model_validate_json(suite.model_dump_json())
    assert again == suite
    assert [entry.cell.id for entry in again.cells] == [entry.cell.id for entry in suite.cells]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(2)), st.permutations(range(3)), st.permutations([0, 1, 2]))
def test_any_order_of_axes_gives_the_same_cells(shared_world, tasks, backbones, seeds) -> None:
    def expanded(tasks, backbones, seeds) -> set[str]:
        task = [["denoise", "{name: denoise, sigma: 1}"][i] for i in tasks]
        backbone = [["net", "{name: net, width: 2}", "other"][i] for i in backbones]
        axes = f"backbone: [{', '.join(backbone)}], task: [{', '.join(task)}]"
        # `blocks` names a task and a backbone in the defaults, which the axes replace.
        return ids(shared_world.blocks(f"- {{matrix: {{{axes}}}, seeds: {list(seeds)}}}"))

    assert expanded(tasks, backbones, seeds) == expanded(range(2), range(3), range(3))


CLIP = """
suite: s
blocks:
  - {task: low_light, dataset: photos, backbone: restormer, variant: {refiner: ptg_rm, prior: %s}}
"""


def _clip_cell(folder, content: bytes):
    folder.mkdir()
    (folder / "weights.pt").write_bytes(content)
    suite = folder / "suite.yaml"
    suite.write_text(CLIP % "{name: clip, checkpoint: weights.pt}")
    resolved, _ = open_suite(str(suite))
    return next(each.cell for each in resolved.cells if each.cell.variant.prior)


def test_a_local_file_counts_by_content_and_not_by_place(tmp_path):
    here, there = _clip_cell(tmp_path / "a", b"one"), _clip_cell(tmp_path / "b", b"one")
    assert here.id == there.id != _clip_cell(tmp_path / "c", b"two").id
    assert here.variant.prior.files == {"checkpoint": str(tmp_path / "a" / "weights.pt")}
    assert here.train_features(0).digest == there.train_features(0).digest
    assert type(here).model_validate_json(here.model_dump_json()) == here


def test_a_weight_on_the_refined_restoration_counts_once_it_is_set() -> None:
    term = LossTerm(part=PartRef(name="mse"))
    assert "refined_weight" not in term.identity()
    assert term.model_copy(update={"refined_weight": 0.0}).identity()["refined_weight"] == 0.0
    assert LossTerm.model_validate_json(term.model_dump_json()) == term
