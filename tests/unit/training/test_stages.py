"""Which modules train: names that no network has are found before the first step."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from harness.cells.cell import Cell
from harness.cells.recipe import Recipe, Stage
from harness.core.errors import HarnessError
from harness.jobs.classify import classify
from harness.models.assemble import build_model
from harness.models.fits import check_fit
from harness.parts.catalogue import REGISTRY
from harness.training.loop import train
from harness.training.stages import choose_trained
from tests.small_world import refined_cell, small_cell


def staged(*trains: tuple[str, ...], **changes: Any) -> Recipe:
    stages = tuple(Stage(steps=4, trains=each) for each in trains)
    return Recipe(steps=4 * len(stages) or 12, stages=stages, **changes)


def refusal(cell: Cell) -> HarnessError:
    model = build_model(cell, REGISTRY, 8 if cell.variant.refiner else None)
    with pytest.raises(HarnessError) as caught:
        check_fit(cell, model)
    return caught.value


@pytest.mark.parametrize(
    ("recipe", "where", "module", "hint"),
    [
        (staged((), ("backbone.entrance",)), "recipe.stages.1.trains", "backbone.entrance", ""),
        (staged((), ("backbone", "backbone.intr")), "recipe.stages.1.trains", "backbone.intr", "'backbone.intro'"),
        (staged(rates={"backbone.endng": 0.5}), "recipe.rates", "backbone.endng", "'backbone.ending'"),
        (staged(rates={"backbones": 0.5}), "recipe.rates", "backbones", "'backbone'"),
        (staged(rates={"": 0.5}), "recipe.rates", "", ""),
    ],
)
def test_every_stage_and_rate_is_compared_with_the_network(recipe: Recipe, where: str, module: str, hint: str) -> None:
    error = refusal(small_cell(recipe=recipe))
    assert (error.where, error.what) == (where, f"{module!r} is not a module with parameters")
    assert hint in error.hint
    assert classify(error) == "suite"


def test_modules_of_a_refiner_count_where_there_is_one() -> None:
    recipe = staged(("backbone.intro", "refiner.head"), rates={"refiner.head": 0.5})
    plain = small_cell(recipe=recipe)
    check_fit(plain, build_model(plain, REGISTRY, None))
    assert refusal(refined_cell().model_copy(update={"recipe": recipe})).where == "recipe.stages.0.trains"
    own = refined_cell(stages=(Stage(steps=6), Stage(steps=6, trains=("refiner.nothing",))))
    assert refusal(own).where == "refiner ptg_rm, stage 2"


def test_nothing_is_trained_before_the_check() -> None:
    cell = small_cell(recipe=staged((), ("backbone.nothing",)))
    nowhere: Any = None
    with pytest.raises(HarnessError, match=r"recipe\.stages\.1\.trains: 'backbone\.nothing'"):
        train(
            cell,
            build_model(cell, REGISTRY, None),
            nowhere,
            nowhere,
            nowhere,
            registry=REGISTRY,
        )


def test_a_stage_in_which_nothing_trains_says_so() -> None:
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2)})
    names = {name for name, _ in model.named_parameters()}
    choose_trained(model, names, ("backbone", "refiner"))
    assert all(parameter.requires_grad for parameter in model.parameters())
    for trainable, modules in ((names, ("refiner",)), (set(), ("backbone",))):
        with pytest.raises(HarnessError, match=f"nothing of {modules[0]} trains here") as caught:
            choose_trained(model, trainable, modules)
        assert classify(caught.value) == "suite"
