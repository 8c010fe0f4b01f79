"""Losses that train nothing of a cell: what counts depends on the variant."""

from __future__ import annotations

import pytest

REFINED_ONLY = "losses: [{name: l1, weight: 0, refined_weight: 1}]"
INITIAL_ONLY = "losses: [{name: l1, refined_weight: 0}]"
FROZEN = "{refiner: refine, prior: plain, regime: frozen, continued: false"
BOTH = "base_recipe: {losses: [l1]}"


@pytest.mark.parametrize(
    ("variant", "recipe"),
    [
        (f"{FROZEN}, {BOTH}}}", REFINED_ONLY),
        ("{refiner: refine, prior: plain}", REFINED_ONLY),  # F learns through Ī
        (f"{{refiner: refine, prior: plain, regime: from_base, continued: false, {BOTH}}}", REFINED_ONLY),
        ("base", INITIAL_ONLY),
        ("base_continued", INITIAL_ONLY),
        ("{refiner: refine, prior: plain, placement: features}", INITIAL_ONLY),  # R inside F: one restoration
        (
            "{refiner: refine, prior: plain}",
            f"stages: [{{steps: 2, trains: [backbone], {INITIAL_ONLY}}}, {{steps: 3, losses: [l1]}}], steps: 5",
        ),
        (f"{FROZEN}}}", "stages: [{steps: 2, trains: [backbone], losses: [l1]}, "
         f"{{steps: 3, trains: [refiner], {REFINED_ONLY}}}], steps: 5"),
    ],
)  # fmt: skip
def test_losses_count_where_they_look(world, variant: str, recipe: str) -> None:
    assert world.blocks(f"- {{variant: {variant}, recipe: {{{recipe}}}}}").cells


CELL, REFINED = "give one loss a weight above 0", "give one loss a refined_weight above 0"


@pytest.mark.parametrize(
    ("variant", "recipe", "path", "what", "hint"),
    [
        ("base", REFINED_ONLY, "recipe.losses", "no loss trains a network without a refiner", CELL),
        (
            f"{FROZEN}}}",
            REFINED_ONLY,
            "recipe.losses",
            "no loss trains the base that regime frozen starts from",
            f"{CELL}, or other losses in base_recipe",
        ),
        (
            f"{{refiner: refine, prior: plain, regime: frozen, {BOTH}}}",
            REFINED_ONLY,
            "recipe.losses",
            "no loss trains base_continued beside regime frozen",
            f"{CELL}, or continued: false",
        ),
        (
            f"{{regime: from_base, {BOTH}}}",
            REFINED_ONLY,
            "recipe.losses",
            "no loss trains base_continued",
            CELL,
        ),
        (f"{FROZEN}}}", INITIAL_ONLY, "recipe.losses", "no loss trains the refiner refine", REFINED),
        (
            f"{FROZEN}, base_recipe: {{{REFINED_ONLY}}}}}",
            "losses: [l1]",
            "variant.base_recipe.losses",
            "no loss trains the base that regime frozen starts from",
            f"{CELL}, or other losses in base_recipe",
        ),
        (
            "{refiner: refine, prior: plain, placement: features}",
            REFINED_ONLY,
            "recipe.losses",
            "no loss trains the refiner refine",
            CELL,
        ),
        (
            "{refiner: refine, prior: {name: learned, source: {task: rainy, backbone: net}}}",
            REFINED_ONLY,
            "recipe.losses",
            "no loss trains the network behind the prior",
            f"{CELL}, or other losses in its recipe",
        ),
        (
            "{refiner: refine, prior: plain}",
            f"stages: [{{steps: 5, {INITIAL_ONLY}}}], steps: 5",
            "recipe.stages",
            "no loss trains the refiner refine",
            REFINED,
        ),
    ],
)
def test_a_cell_that_no_loss_trains(world, variant: str, recipe: str, path: str, what: str, hint: str) -> None:
    [problem] = world.block_problems(f"- {{variant: {variant}, recipe: {{{recipe}}}}}")
    assert (problem.path, problem.what, problem.hint) == (f"blocks.0.{path}", what, hint)


def test_an_excluded_base_continued_needs_no_loss(world) -> None:
    frozen = f"{{refiner: refine, prior: plain, regime: frozen, {BOTH}}}"
    block = f"- {{variant: {frozen}, recipe: {{{REFINED_ONLY}}}, exclude: [{{variant: base_continued}}]}}"
    assert [e.labels.variant for e in world.blocks(block).cells if e.listed] == ["input", "refine+plain frozen"]
