"""Fresh weights: what cells have in common starts from the same numbers, and nothing else does."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.core.errors import HarnessError
from harness.models.assemble import RestorationModel, build_model
from harness.models.fresh import fresh_module, fresh_whole
from harness.parts.catalogue import REGISTRY
from harness.parts.refiners.ptg_rm.ablations import DESIGNS
from harness.training.objective import build_objective
from tests.small_world import TINY_NAFNET, refined_cell, small_cell

DIM = 8


def model(cell: Cell) -> RestorationModel:
    return build_model(cell, REGISTRY, DIM)


def ptg_rm(
    seed: int = 0, *, dim: int = DIM, regime: str = "joint", version: str = "1", **options: Any
) -> RestorationModel:
    refiner = PartRef(name="ptg_rm", version=version, options=options)
    variant = Variant(refiner=refiner, prior=PartRef(name="random"), regime=regime)
    return build_model(small_cell(variant=variant, seed=seed), REGISTRY, dim)


def equal(left: nn.Module, right: nn.Module) -> set[str]:
    """Names of the parameters that both have, of the same shape, with the same values."""
    own, other = dict(left.named_parameters()), dict(right.named_parameters())
    return {name for name in own.keys() & other.keys() if torch.equal(own[name], other[name])}


def shared(left: nn.Module, right: nn.Module) -> set[str]:
    """Names of the parameters that both have, of the same shape."""
    own, other = dict(left.named_parameters()), dict(right.named_parameters())
    return {name for name in own.keys() & other.keys() if own[name].shape == other[name].shape}


BASE = model(small_cell())
FULL = ptg_rm()


@pytest.mark.parametrize("ablation", DESIGNS)
def test_every_ablation_starts_from_the_base_network(ablation: str) -> None:
    ablated = ptg_rm(ablation=ablation)
    assert equal(BASE.backbone, ablated.backbone) == {name for name, _ in BASE.backbone.named_parameters()}


@pytest.mark.parametrize("ablation", sorted(set(DESIGNS) - {"none", "large_without_priors"}))
def test_an_ablation_shares_what_it_does_not_leave_out(ablation: str) -> None:
    ablated = ptg_rm(ablation=ablation)
    assert equal(FULL, ablated) == shared(FULL, ablated)
    assert any(name.startswith("refiner.decoder") for name in shared(FULL, ablated))


@pytest.mark.parametrize("changes", [{"regime": "frozen"}, {"version": "99"}, {"head": "residual"}, {"dim": 12}])
def test_neither_regime_nor_version_nor_head_nor_prior_draws_anew(changes: dict[str, Any]) -> None:
    other = ptg_rm(**changes)
    assert equal(FULL, other) == shared(FULL, other)
    assert len(shared(FULL, other)) > 60


def test_the_recipe_and_the_task_draw_nothing_anew() -> None:
    other = model(small_cell(task=PartRef(name="low_light"), recipe={"steps": 7, "lr": 0.5}))
    assert equal(BASE, other) == {name for name, _ in BASE.named_parameters()}


def test_seeds_and_options_draw_anew() -> None:
    drawn = {name for name, value in BASE.named_parameters() if value.std() > 0}
    assert drawn
    assert not equal(BASE, model(small_cell(seed=1))) & drawn
    wider = TINY_NAFNET.model_copy(update={"options": TINY_NAFNET.options | {"middle_blk_num": 2}})
    other = model(small_cell(backbone=wider))
    assert not equal(BASE, other) & drawn
    refined = {name for name, value in FULL.named_parameters() if name.endswith("weight") and value.std() > 0}
    assert not equal(FULL, ptg_rm(seed=1)) & refined


def test_no_two_parameters_get_the_same_numbers() -> None:
    values = [value.flatten()[:6] for _, value in FULL.named_parameters() if value.numel() > 6 and value.std() > 0]
    assert len({tuple(value.tolist()) for value in values}) == len(values)


class Odd(nn.Module):
    """Draws in every way that constructors know: layers, orthogonal matrices, tensors of their own, twice."""

    def __init__(self, *, extra: bool) -> None:
        super().__init__()
        if extra:
            self.extra = nn.Linear(3, 5)
        self.first = nn.Linear(4, 4)
        nn.init.trunc_normal_(self.first.weight, std=0.02)
        self.scaled = nn.Linear(4, 4)
        nn.init.normal_(self.scaled.weight)
        with torch.no_grad():
            self.scaled.weight.mul_(0.5)
        self.square = nn.Linear(4, 4)
        nn.init.orthogonal_(self.square.weight)
        self.token = nn.Parameter(torch.randn(6) * 0.02)
        self.register_buffer("noise", torch.empty(3).uniform_())
        self.register_buffer("foreign", torch.tensor([random.random(), np.random.random()]))


def odd(number: int, *, extra: bool = False) -> Odd:
    return fresh_module("refiner", PartRef(name="odd"), number, lambda: Odd(extra=extra))


def test_every_way_of_drawing_is_repeatable_and_leaves_the_process_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    others = random.getstate(), np.random.get_state()[1].tolist()
    first = odd(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others
    torch.manual_seed(4)
    again = odd(0)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    other = odd(1)
    for name, value in first.state_dict().items():
        assert not torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("kind", ["backbone", "refiner"])
def test_lazy_layers_are_refused_by_name(kind: str) -> None:
    part = PartRef(name="lazy")
    with pytest.raises(HarnessError, match=r"its weights 0\.weight, 0\.bias have no size") as error:
        if kind == "backbone":
            fresh_whole(kind, part, 0, lambda: nn.Sequential(nn.LazyLinear(3)))
        else:
            fresh_module(kind, part, 0, lambda: nn.Sequential(nn.LazyLinear(3)))
    assert error.value.where == f"{kind} lazy"


def test_a_further_layer_moves_no_other() -> None:
    assert equal(odd(0), odd(0, extra=True)) == {name for name, _ in odd(0).named_parameters()}


def test_the_distribution_is_the_constructors_own() -> None:
    module = fresh_module("refiner", PartRef(name="wide"), 0, lambda: nn.Linear(64, 4096))
    bound = 1 / 8
    weight = module.weight.detach()
    assert weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.01)
    assert float(weight.mean()) == pytest.approx(0, abs=1e-3)


def test_adversaries_start_alike_in_all_variants() -> None:
    terms = [{"part": {"name": "smg_adversary"}}]
    cells = [small_cell(recipe={"losses": terms}), refined_cell(), small_cell(seed=1, recipe={"losses": terms})]
    cells[1] = cells[1].model_copy(update={"recipe": cells[0].recipe})
    device = torch.device("cpu")
    networks = [build_objective(cell, cell.recipe.parts[0], REGISTRY, device).adversaries.state() for cell in cells]
    first, same, other = (network[0]["loss"] for network in networks)
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())
