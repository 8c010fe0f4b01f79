"""Fields in which two cells differ."""

from __future__ import annotations

from harness.cells.explain import ABSENT, Difference, explain, flatten


def cells(suite) -> list:
    return [entry.cell for entry in suite.cells if entry.cell.backbone]


def test_a_cell_does_not_differ_from_itself(world) -> None:
    [cell] = cells(world.blocks("- {seeds: [0]}"))
    assert explain(cell, cell.model_copy()) == []


def test_options_recipe_and_seed_are_named(world) -> None:
    [a, b] = cells(
        world.blocks("""
        - {backbone: {name: net, width: 4}, recipe: {lr: 0.5, losses: [l1]}, seeds: [3]}
        - {backbone: {name: net, blocks: [7], bias: false}, recipe: {clip_grad: 1}, seeds: [4]}
        """)
    )
    assert explain(a, b) == [
        Difference("backbone.options.width", "4", "16"),
        Difference("backbone.options.blocks", "[1,2]", "[7]"),
        Difference("backbone.options.bias", "true", "false"),
        Difference("recipe.lr", "0.5", "0.001"),
        Difference("recipe.losses.0.part.name", "l1", "charbonnier"),
        Difference("seed", "3", "4"),
        Difference("recipe.clip_grad", ABSENT, "1.0"),
    ]


def test_what_only_one_has_is_named_once(world) -> None:
    [base, continued, source, refined] = cells(
        world.blocks("""
        - variant: base
        - variant: {refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other}}, regime: from_base}
        """)
    )
    assert source.task.name == "rainy"
    assert explain(base, continued) == [
        Difference("variant.regime", "joint", "from_base"),
        Difference("base", ABSENT, f"denoise net base, cell {base.id}"),
    ]
    assert explain(base, refined) == [
        Difference("variant.regime", "joint", "from_base"),
        Difference("variant.refiner", ABSENT, "refine"),
        Difference("variant.prior", ABSENT, "learned"),
        Difference("base", ABSENT, f"denoise net base, cell {base.id}"),
        Difference("prior_source", ABSENT, f"rainy other base, cell {source.id}"),
    ]


def test_required_cells_are_compared_inside(world) -> None:
    variant = "{refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other, recipe: {steps: %d}}}}"
    found = [
        cell for cell in cells(world.blocks(f"- variant: {variant % 5}\n- variant: {variant % 6}")) if cell.prior_source
    ]
    assert explain(*found) == [Difference("prior_source.recipe.steps", "5", "6")]


def test_a_seed_that_the_source_follows_is_named_once(world) -> None:
    block = (
        "- {seeds: [0, 1], variant: {refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other}}}}"
    )
    found = [cell for cell in cells(world.blocks(block)) if cell.prior_source]
    assert explain(*found) == [Difference("seed", "0", "1")]


def test_input_cells(world) -> None:
    suite = world.blocks("- {task: denoise}\n- {task: {name: denoise, sigma: 5}}")
    inputs = [entry.cell for entry in suite.cells if not entry.cell.backbone]
    assert explain(*inputs) == [
        Difference("task.options.sigma", "25.0", "5.0"),
        Difference("task.of.options.sigma", "25.0", "5.0"),
    ]
    [*_, trained] = cells(suite)
    assert Difference("backbone", ABSENT, "net") in explain(inputs[0], trained)


def test_cells_of_different_ids_always_differ_in_a_field(world) -> None:
    suite = world.expand("""
        suite: s
        defaults: {dataset: pictures, seeds: [0, 1]}
        blocks:
          - matrix:
              task: [denoise, rainy]
              backbone: [net, {name: net, width: 4}]
              variant:
                - base
                - {refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other}}, regime: frozen}
        """)
    every = [entry.cell for entry in suite.cells]
    for a in every:
        for b in every:
            assert bool(explain(a, b)) == (a.id != b.id)
            assert (flatten(a) == flatten(b)) == (a.id == b.id)


def test_fields_have_the_names_of_the_suite_language(world) -> None:
    """`trains` is stored as `learns`; a module of that name keeps it."""
    stages = "recipe: {steps: 4, stages: [{steps: 4, trains: [backbone]}]}"
    changed = "recipe: {steps: 4, rates: {backbone.learns: 2}, stages: [{steps: 4, trains: [backbone, refiner]}]}"
    suite = world.blocks(f"- {{{stages}}}\n- {{{changed}}}")
    left, right = cells(suite)
    assert explain(left, right) == [
        Difference("recipe.stages.0.trains", '["backbone"]', '["backbone","refiner"]'),
        Difference("recipe.rates.backbone.learns", ABSENT, "2.0"),
    ]
