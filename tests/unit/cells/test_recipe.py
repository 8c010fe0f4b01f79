"""What of a recipe a backbone alone trains by, and what a refiner on a frozen backbone."""

from __future__ import annotations

from harness.api.reference import PartRef
from harness.cells.recipe import LossTerm, Recipe, Stage

L1 = (LossTerm(part=PartRef(name="l1")),)
F, F_INSIDE = Stage(steps=3, trains=("backbone",)), Stage(steps=2, trains=("backbone.a", "refiner"), patch=48)
R, R_INSIDE = Stage(steps=5, trains=("refiner",), restart=True), Stage(steps=4, trains=("refiner.b",))
BOTH = Stage(steps=6)


def recipe(*stages: Stage) -> Recipe:
    return Recipe(steps=sum(stage.steps for stage in stages), stages=stages)


def test_a_recipe_whose_stages_all_train_the_part_is_itself() -> None:
    for same in (Recipe(), recipe(F, F_INSIDE, BOTH)):
        assert same.for_backbone is same
    for same in (Recipe(), recipe(R, R_INSIDE, F_INSIDE, BOTH)):
        assert same.for_refiner is same


def test_steps_of_stages_that_are_left_out_go_to_the_last_that_is_left() -> None:
    alone = recipe(F, R, F_INSIDE, R_INSIDE).for_backbone
    assert alone.stages == (F, Stage(steps=2 + 5 + 4, trains=("backbone.a", "refiner"), patch=48))
    assert alone.steps == sum(stage.steps for stage in alone.stages) == 14
    assert alone.for_backbone is alone
    refining = recipe(F, R_INSIDE, R, F).for_refiner
    assert refining.stages == (R_INSIDE, Stage(steps=5 + 3 + 3, trains=("refiner",), restart=True))


def test_without_any_such_stage_all_steps_are_alike_with_the_recipes_own_fields() -> None:
    plain = recipe(R, R_INSIDE)
    assert plain.for_backbone == Recipe(steps=9)
    assert recipe(F, F).for_refiner == Recipe(steps=6)
    in_stages = Recipe(steps=5, losses=(), stages=(R.model_copy(update={"losses": L1}),))
    assert in_stages.for_backbone == Recipe(steps=5, losses=L1)
