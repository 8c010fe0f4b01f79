"""Learning rates by hand, and that frozen parameters stay out of the optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from harness.core.errors import HarnessError
from harness.spec.cell import Recipe
from harness.training.optim import build_optimizer, learning_rate, set_learning_rate


def test_cosine_starts_at_the_peak_and_ends_at_the_floor() -> None:
    recipe = Recipe(steps=101, lr=1e-3, lr_min=1e-5)
    assert learning_rate(recipe, 1) == 1e-3
    assert learning_rate(recipe, 51) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(recipe, 101) == pytest.approx(1e-5, abs=1e-18)


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    recipe = Recipe(steps=20, lr=1.0, lr_min=0.0, warmup=4)
    assert [learning_rate(recipe, step) for step in range(1, 6)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate(recipe, 20) == pytest.approx(0.0, abs=1e-15)


def test_constant_stays() -> None:
    recipe = Recipe(steps=9, lr=2e-4, schedule="constant", warmup=2)
    assert [learning_rate(recipe, step) for step in (1, 2, 3, 9)] == [1e-4, 2e-4, 2e-4, 2e-4]


@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_a_single_step_and_all_warm_up_are_no_special_cases(warmup: int) -> None:
    assert learning_rate(Recipe(steps=1, lr=1.0, warmup=warmup), 1) == (1 / warmup if warmup else 1.0)


def test_only_what_learns_is_given() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    optimizer = build_optimizer(Recipe(optimizer="adam", lr=0.5, betas=(0.8, 0.9)), network.parameters())
    assert type(optimizer) is Adam
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in network[1].parameters()]
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_weight_decay_is_decoupled_with_adamw() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = build_optimizer(Recipe(optimizer="adamw", lr=0.1, weight_decay=0.5), [weight])
    assert type(optimizer) is AdamW
    weight.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 0.1 * 0.5))


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(HarnessError, match="no parameter"):
        build_optimizer(Recipe(), nn.Linear(1, 1).requires_grad_(False).parameters())


def test_the_rate_reaches_every_group() -> None:
    optimizer = Adam([{"params": [nn.Parameter(torch.ones(1))]}, {"params": [nn.Parameter(torch.ones(1))]}])
    set_learning_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]
