"""A base and its variants meet the same images and the same random numbers in every step, mixing included."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Recipe
from harness.core.errors import HarnessError
from harness.jobs import train
from harness.models.assemble import RestorationModel
from harness.training.objective import Objective
from tests.small_world import RECIPE, SmallWorld, small_cell


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What every step saw: degraded images and truth as the losses get them, and the next random number before F."""
    steps: list[dict[str, Any]] = []
    forward, judge = RestorationModel.forward, Objective.__call__

    def noted_forward(self: RestorationModel, *given: Any) -> Any:
        state = torch.get_rng_state()
        steps.append({"random": float(torch.rand(()))})
        torch.set_rng_state(state)
        return forward(self, *given)

    def noted_judge(self: Objective, restored: Any, images: Any, **how: Any) -> Any:
        steps[-1] |= {"lq": images.lq_BCHW.clone(), "gt": images.gt_BCHW.clone(), "step": how["step"]}
        return judge(self, restored, images, **how)

    monkeypatch.setattr(RestorationModel, "forward", noted_forward)
    monkeypatch.setattr(Objective, "__call__", noted_judge)
    return steps


def ptg_rm(**changes: Any) -> Variant:
    # CLIP and its like need weights; statistics see the images as they come.
    return Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss"), features="live", **changes)


def watched(world: SmallWorld, seen: list[dict[str, Any]], cell: Cell) -> list[dict[str, Any]]:
    seen.clear()
    train.run(world.train_job(cell), world.context)
    return list(seen)


def equal(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> bool:
    return len(left) == len(right) and all(
        a["step"] == b["step"]
        and a["random"] == b["random"]
        and torch.equal(a["lq"], b["lq"])
        and torch.equal(a["gt"], b["gt"])
        for a, b in zip(left, right, strict=True)
    )


MIXED = Recipe(**(RECIPE.model_dump() | {"mixup": 1.2, "steps": 6}))


def test_variants_meet_the_batches_of_their_base(world: SmallWorld, seen: list[dict[str, Any]]) -> None:
    base = small_cell(recipe=MIXED)
    ablated = Variant(
        refiner=PartRef(name="ptg_rm", options={"ablation": "without_sve"}), prior=PartRef(name="nss"), features="live"
    )
    plain = watched(world, seen, base)
    assert equal(plain, watched(world, seen, small_cell(recipe=MIXED, variant=ptg_rm())))
    assert equal(plain, watched(world, seen, small_cell(recipe=MIXED, variant=ablated)))
    continued = small_cell(recipe=MIXED, base=base, variant=Variant(regime="from_base"))
    assert equal(plain, watched(world, seen, continued))
    assert equal(plain, watched(world, seen, small_cell(recipe=MIXED, base=base, variant=ptg_rm(regime="frozen"))))


def test_mixing_really_happens_and_seeds_differ(world: SmallWorld, seen: list[dict[str, Any]]) -> None:
    unmixed = watched(world, seen, small_cell(recipe=MIXED.model_copy(update={"mixup": None})))
    mixed = watched(world, seen, small_cell(recipe=MIXED))
    changed = [not torch.equal(a["lq"], b["lq"]) for a, b in zip(unmixed, mixed, strict=True)]
    assert any(changed)
    assert not all(changed)
    assert not equal(mixed, watched(world, seen, small_cell(recipe=MIXED, seed=1)))


def test_a_continued_base_starts_from_the_base_and_moves_on(world: SmallWorld) -> None:
    base = small_cell()
    continued = small_cell(base=base, variant=Variant(regime="from_base"))
    train.run(world.train_job(base), world.context)
    train.run(world.train_job(continued), world.context)
    first, further = (world.record(cell).training for cell in (base, continued))
    assert first is not None
    assert further is not None
    assert (further.steps, further.added_parameters) == (first.steps, 0)
    assert world.curve(continued)[0][1] < world.curve(base)[0][1]
    assert further.checkpoint_sha256 != first.checkpoint_sha256


def test_a_cell_of_an_earlier_release_is_not_trained_by_the_present_rules(world: SmallWorld) -> None:
    with pytest.raises(HarnessError, match="planned by an earlier release") as error:
        train.run(world.train_job(small_cell(rules=1)), world.context)
    assert error.value.hint == "plan it again: bench run SUITE"
