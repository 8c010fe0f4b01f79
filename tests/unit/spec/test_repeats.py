"""What a suite asks for twice, and stages that none of its cells trains in."""

from __future__ import annotations

import pytest

from tests.suite_world import World

HEAD = "suite: s\ndefaults: {task: denoise, dataset: pictures, backbone: net, recipe: {steps: 8}}\n"
REFINED = "{refiner: refine, prior: plain, regime: %s}"


@pytest.mark.parametrize(
    ("block", "path", "what"),
    [
        ("test: [pictures, test_only, pictures]", "test.2", "the data set pictures is given twice: it is item 0, too"),
        (
            "test: [pictures, {name: pictures, size: 4}]",
            "test.1",
            "the data set pictures is given twice: it is item 0, too",
        ),
        (
            "matrix: {dataset: [pictures, pictures]}",
            "matrix.dataset.1",
            "this dataset is given twice: it is item 0, too",
        ),
        (
            "matrix: {backbone: [net, {name: net}]}",
            "matrix.backbone.1",
            "this backbone is given twice: it is item 0, too",
        ),
        ("matrix: {variant: [base, base]}", "matrix.variant.1", "this variant is given twice: it is item 0, too"),
        (
            "matrix: {recipe: [{steps: 4}, {steps: 4}]}",
            "matrix.recipe.1",
            "this recipe is given twice: it is item 0, too",
        ),
    ],
)
def test_nothing_is_asked_for_twice(shared_world: World, block: str, path: str, what: str) -> None:
    [problem] = shared_world.problems(f"{HEAD}blocks: [{{{block}}}]\n")
    assert (problem.path, problem.what, problem.hint) == (f"blocks.0.{path}", what, "remove one")


def test_axes_in_lockstep_may_repeat_a_value(shared_world: World) -> None:
    block = "zip: {task: [denoise, rainy], backbone: [net, net]}"
    assert shared_world.expand(f"{HEAD}blocks: [{{{block}}}]\n").cells


STAGES = "stages: [{steps: 3, trains: [%s]}, {steps: 5}]"


@pytest.mark.parametrize("variant", ["base", "base_continued"])
def test_a_stage_that_no_cell_trains_in_is_a_mistake(shared_world: World, variant: str) -> None:
    block = f"- {{variant: {variant}, recipe: {{{STAGES % 'refiner.head'}}}}}"
    [problem] = shared_world.problems(f"{HEAD}blocks:\n  {block}\n")
    assert problem.path == "blocks.0.recipe.stages.0.trains"
    assert problem.what == "no cell of this suite trains `refiner.head`"
    assert problem.hint == "remove the stage, or add a variant that trains it"


@pytest.mark.parametrize(
    ("variants", "module"),
    [
        (f"[base, {REFINED % 'joint'}]", "refiner"),  # another variant trains it
        (f"[{REFINED % 'frozen'}]", "backbone"),  # the base below the frozen one does
        (f"[{REFINED % 'from_base'}]", "refiner"),
    ],
)
def test_one_recipe_may_serve_several_variants(shared_world: World, variants: str, module: str) -> None:
    block = f"- {{matrix: {{variant: {variants}}}, recipe: {{{STAGES % module}}}}}"
    cells = [entry.cell for entry in shared_world.expand(f"{HEAD}blocks:\n  {block}\n").cells if entry.cell.backbone]
    assert {cell.recipe.steps for cell in cells} == {8}  # whoever leaves a stage out takes its steps elsewhere
    assert sorted({len(cell.recipe.stages) for cell in cells}) == [1, 2]


def test_the_stage_of_a_base_recipe_is_one_of_the_base(shared_world: World) -> None:
    variant = f"{{refiner: refine, prior: plain, regime: frozen, base_recipe: {{{STAGES % 'refiner'}}}}}"
    [problem] = shared_world.problems(f"{HEAD}blocks:\n  - {{variant: {variant}}}\n")
    assert problem.path == "blocks.0.variant.base_recipe.stages.0.trains"


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        ("steps", "steps", "expected at most 1000000000"),
        ("warmup", "warmup", "expected at most 1000000000"),
        ("batch", "batch", "expected at most 1000000000"),
        ("patch", "patch", "expected at most 1000000000"),
        ("stride", "stride", "expected at most 1000000000"),
    ],
)
@pytest.mark.parametrize("digits", [30, 400])
def test_no_number_of_a_recipe_is_endless(shared_world: World, text: str, path: str, what: str, digits: int) -> None:
    [problem] = shared_world.problems(f"{HEAD}blocks:\n  - {{recipe: {{{text}: 1{'0' * digits}}}}}\n")
    assert problem.path == f"blocks.0.recipe.{path}"
    assert problem.what.startswith(what)
    assert problem.hint == f"{path} has too many digits"


@pytest.mark.parametrize("name", ["cpus", "checkpoint_every", "log_every", "samples", "retries"])
def test_no_setting_of_a_run_is_endless(shared_world: World, name: str) -> None:
    [problem] = shared_world.problems(f"{HEAD}run: {{{name}: 1{'0' * 30}}}\nblocks: [{{}}]\n")
    assert problem.path == f"run.{name}"
    assert problem.what.startswith("expected at most ")
    assert problem.hint.startswith(f"{name}: ")


@pytest.mark.parametrize(("cycles", "refused"), [((1, 9), True), ((2, 6), False), ((3, 6), True), ((9,), False)])
def test_several_cycles_fit_the_steps(shared_world: World, cycles: tuple[int, ...], refused: bool) -> None:
    written = ", ".join(f"{{steps: {steps}, lr_min: 0.0}}" for steps in cycles)
    text = f"{HEAD}blocks:\n  - {{recipe: {{cycles: [{written}]}}}}\n"
    if not refused:
        assert shared_world.expand(text).cells
        return
    [problem] = shared_world.problems(text)
    assert problem.path == "blocks.0.recipe.cycles"
    together = sum(cycles)
    assert problem.what == f"the last of several cycles is cut: they take {together} steps of 8"
    assert problem.hint.startswith("8 together")


def test_values_with_mistakes_are_not_called_equal(shared_world: World) -> None:
    wrong = ["{refiner: refine, prior: plain, features: tile}", "{refiner: refine, prior: plain, feature: image}"]
    found = shared_world.problems(f"{HEAD}blocks: [{{matrix: {{variant: [base, {', '.join(wrong)}]}}}}]\n")
    assert [problem.what for problem in found] == ["tile is now called crop", "unknown key 'feature'"]
