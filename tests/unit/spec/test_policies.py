"""What a prior sees in training: the default of each cell, what contradicts it, and what tables say."""

from __future__ import annotations

import pytest

from harness.cells.cell import Variant
from harness.core.errors import Problem
from harness.parts.plugins import extend
from tests.suite_world import World

DRAWN = '''
from harness.api.degradation import DegradationTraits
from harness.api.task import TaskTraits


class Hiss:
    """Drawn at every draw."""

    traits = DegradationTraits(quantised=False, acts="drawn")

    def __init__(self) -> None: ...


class Quiet:
    """Remove hiss."""

    traits = TaskTraits(degradation="hiss", protocol="rgb_uint8")


CATALOGUE = (("degradation", "hiss", "Hiss"), ("task", "quiet", "Quiet"))
'''


@pytest.fixture
def drawn_world(world: World) -> World:
    (world.folder / "drawn.py").write_text(DRAWN)
    world.registry = extend(world.registry, [str(world.folder / "drawn.py")])
    return world


def block(task: str, recipe: str, more: str, prior: str = "plain") -> str:
    return f"- {{task: {task}, recipe: {recipe}, variant: {{refiner: refine, prior: {prior}{more}}}}}"


GRID = "{crop: grid}"


@pytest.mark.parametrize(
    ("task", "recipe", "more", "policy", "views", "label"),
    [
        ("denoise", "{}", "", "image", 1, "refine+plain"),
        ("denoise", "{}", ", features: null", "image", 1, "refine+plain"),
        ("denoise", "{}", ", features: image", "image", 1, "refine+plain"),
        ("denoise", "{}", ", views: 8", "image", 8, "refine+plain prior:image×8"),
        ("denoise", "{}", ", features: live", "live", 1, "refine+plain prior:live"),
        ("denoise", GRID, "", "crop", 1, "refine+plain"),
        ("denoise", GRID, ", features: crop", "crop", 1, "refine+plain"),
        ("denoise", GRID, ", features: image", "image", 1, "refine+plain prior:image"),
        ("denoise", GRID, ", features: image, views: 8", "image", 8, "refine+plain prior:image×8"),
        ("quiet", GRID, "", "image", 1, "refine+plain"),
        ("quiet", GRID, ", features: live, regime: from_base", "live", 1, "refine+plain prior:live from_base"),
    ],
)
def test_the_default_is_exact_where_that_is_possible(
    drawn_world: World, task: str, recipe: str, more: str, policy: str, views: int, label: str
) -> None:
    entry = drawn_world.blocks(block(task, recipe, more)).cells[-1]
    assert (entry.cell.variant.features, entry.cell.variant.views, entry.labels.variant) == (policy, views, label)


def test_the_rows_that_each_policy_reads(drawn_world: World) -> None:
    """Of whole images one, or one for each orientation; of crops one for each place of the grid and orientation."""
    made = {
        name: drawn_world.blocks(block("denoise", recipe, more)).cells[-1].cell.train_features(0)
        for name, recipe, more in (
            ("image", "{augment: flips}", ""),
            ("views", "{augment: flips}", ", views: 8"),
            ("crop", "{augment: flips, crop: grid, patch: [32, 48], stride: 8}", ""),
            ("live", "{}", ", features: live"),
        )
    }
    assert made["live"] is None
    assert {name: (rows.policy, rows.orientations, rows.grid) for name, rows in made.items() if rows} == {
        "image": ("image", 1, None),
        "views": ("image", 4, None),
        "crop": ("crop", 4, made["crop"].grid),
    }
    grid = made["crop"].grid
    assert (grid.height, grid.width, grid.stride) == (32, 48, 8)


@pytest.mark.parametrize(
    ("task", "recipe", "more", "path", "what", "hint"),
    [
        (
            "denoise",
            "{}",
            ", features: tile",
            "features",
            "tile is now called crop",
            "features: crop, and crop: grid in the recipe",
        ),
        (
            "denoise",
            "{}",
            ", features: crop",
            "features",
            "features crop needs crops that are known beforehand, and the recipe cuts them at random",
            "in the recipe crop: grid, or features: image, or features: live",
        ),
        (
            "quiet",
            GRID,
            ", features: crop",
            "features",
            "hiss is drawn anew at every step, so that no crop is known beforehand",
            "features: image, or features: live",
        ),
        (
            "denoise",
            GRID,
            ", views: 8",
            "views",
            "views 8 does nothing with features crop",
            "remove it, or features: image",
        ),
        (
            "denoise",
            "{}",
            ", features: live, views: 8",
            "views",
            "views 8 does nothing with features live",
            "remove it, or features: image",
        ),
        ("denoise", "{}", ", views: 4", "views", "expected 1 or 8, not 4", ""),
        (
            "denoise",
            "{augment: none}",
            ", views: 8",
            "views",
            "views does nothing: the recipe has augment none",
            "remove it",
        ),
        (
            "denoise",
            "{}",
            ", features: croop",
            "features",
            "expected image, crop or live, not 'croop'",
            "did you mean 'crop'?",
        ),
    ],
)
def test_what_contradicts(
    drawn_world: World, task: str, recipe: str, more: str, path: str, what: str, hint: str
) -> None:
    [problem] = drawn_world.block_problems(block(task, recipe, more))
    assert (problem.path, problem.what, problem.hint) == (f"blocks.0.variant.{path}", what, hint)


def test_a_derived_prior_has_no_live_features_to_fall_back_on(drawn_world: World) -> None:
    found: list[Problem] = drawn_world.block_problems(
        block("denoise", "{}", ", features: crop", "{name: mixed, of: plain}")
    )
    assert [problem.hint for problem in found] == ["in the recipe crop: grid, or features: image"]


def test_views_does_nothing_without_a_refiner(drawn_world: World) -> None:
    [problem] = drawn_world.block_problems("- {variant: {views: 8}}")
    assert (problem.path, problem.what) == ("blocks.0.variant.views", "views does nothing without a refiner")


@pytest.mark.parametrize("name", ["refine+plain prior:live", "refine+plain"])
def test_rules_exclude_by_either_name(drawn_world: World, name: str) -> None:
    suite = drawn_world.blocks(f"""
        - matrix: {{variant: [base, {{refiner: refine, prior: plain, features: live}}]}}
          exclude: [{{variant: "{name}"}}]
        """)
    assert [entry.labels.variant for entry in suite.cells] == ["input", "base"]


def test_what_earlier_releases_stored_stays_readable() -> None:
    assert Variant.model_validate({"features": "tile"}).features == "crop"
