"""Learning rates by hand, and that frozen parameters stay out of the optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW

from harness.cells.recipe import Cycle, Recipe, Stage
from harness.core.errors import HarnessError
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
    optimizer = build_optimizer(Recipe(optimizer="adam", lr=0.5, betas=(0.8, 0.9)), network.named_parameters())
    assert type(optimizer) is Adam
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in network[1].parameters()]
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_weight_decay_is_decoupled_with_adamw() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = build_optimizer(Recipe(optimizer="adamw", lr=0.1, weight_decay=0.5), [("w", weight)])
    assert type(optimizer) is AdamW
    weight.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 0.1 * 0.5))


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(HarnessError, match="no parameter"):
        build_optimizer(Recipe(), nn.Linear(1, 1).requires_grad_(False).named_parameters())


def test_the_rate_reaches_every_group() -> None:
    names = ("a.w", "b.w", "b.c.w", "bb.w")
    parameters = [(name, nn.Parameter(torch.ones(1))) for name in names]
    optimizer = build_optimizer(Recipe(optimizer="adam", rates={"b": 0.25, "b.c": 2.0}), parameters)
    set_learning_rate(optimizer, 0.125)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(parameter)] for _, parameter in parameters] == [0.125, 0.03125, 0.25, 0.125]


def test_restormers_rate_is_held_then_falls() -> None:
    """Held for 92,000 of 300,000 steps at 3e-4, then half a cosine to 1e-6."""
    recipe = Recipe(steps=300_000, lr=3e-4, lr_min=1e-6, hold=92_000)
    assert {learning_rate(recipe, step) for step in (1, 50_000, 92_000, 92_001)} == {3e-4}
    assert learning_rate(recipe, 92_002) < 3e-4
    middle = 92_001 + (300_000 - 92_001) // 2
    assert learning_rate(recipe, middle) == pytest.approx((3e-4 + 1e-6) / 2, rel=1e-4)
    assert learning_rate(recipe, 300_000) == pytest.approx(1e-6)


def test_one_cycle_is_the_plain_cosine_and_further_ones_begin_at_the_peak() -> None:
    plain = Recipe(steps=40, lr=1e-3, lr_min=1e-5, warmup=4)
    one = plain.model_copy(update={"cycles": (Cycle(steps=36, lr_min=1e-5),)})
    assert [learning_rate(one, step) for step in range(1, 41)] == [learning_rate(plain, step) for step in range(1, 41)]
    up_then_down = Recipe(steps=30, lr=2e-4, cycles=(Cycle(steps=10, lr_min=3e-4), Cycle(steps=20, lr_min=1e-6)))
    rates = [learning_rate(up_then_down, step) for step in range(1, 31)]
    assert rates[0] == rates[10] == 2e-4
    assert (rates[9], rates[29]) == (pytest.approx(3e-4), pytest.approx(1e-6))
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_training_may_end_before_its_last_cycle() -> None:
    recipe = Recipe(steps=51, lr=1.0, cycles=(Cycle(steps=101, lr_min=0.0),))
    assert learning_rate(recipe, 51) == pytest.approx(0.5)


def test_steps_multiply_after_each_milestone() -> None:
    recipe = Recipe(steps=9, lr=1.0, schedule="step", milestones=(3, 5), gamma=0.5, warmup=2)
    assert [learning_rate(recipe, step) for step in range(1, 10)] == [0.5, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_linear_is_held_then_straight() -> None:
    recipe = Recipe(steps=8, lr=1.0, lr_min=0.0, schedule="linear", hold=3)
    assert [learning_rate(recipe, step) for step in range(1, 9)] == pytest.approx([1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_stages_go_on_or_begin_anew_each_with_its_peak() -> None:
    stages = (Stage(steps=5), Stage(steps=6, lr=0.5), Stage(steps=11, restart=True), Stage(steps=4, restart=True))
    recipe = Recipe(steps=26, lr=1.0, lr_min=0.0, stages=stages)
    rates = [learning_rate(recipe, step) for step in range(1, 27)]
    first = [learning_rate(Recipe(steps=11, lr=1.0, lr_min=0.0), step) for step in range(1, 12)]
    assert rates[:5] == first[:5]
    assert rates[5:11] == [rate / 2 for rate in first[5:]]
    assert rates[11:22] == first
    assert rates[22] == 1.0
    assert rates[25] == pytest.approx(0.0, abs=1e-15)


def test_sgd_takes_the_first_beta_as_momentum() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = build_optimizer(Recipe(optimizer="sgd", lr=0.1, betas=(0.5, 0.99), weight_decay=0.25), [("w", weight)])
    assert type(optimizer) is SGD
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    first = 1 + 0.25
    second = 0.5 * first + 1 + 0.25 * (1 - 0.1 * first)
    torch.testing.assert_close(weight.detach(), torch.tensor([1 - 0.1 * first - 0.1 * second]))


def test_radam_is_that_of_ifan() -> None:
    """Eight steps beside the formulas of Liu et al. (ICLR 2020, algorithm 2), with weights decayed apart."""
    lr, first, second, decay, eps = 0.1, 0.9, 0.9, 0.01, 1e-8
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    recipe = Recipe(optimizer="radam", lr=lr, betas=(first, second), weight_decay=decay)
    optimizer = build_optimizer(recipe, [("w", weight)])
    x, m, v = torch.tensor([1.0, -2.0]).double(), torch.zeros(2).double(), torch.zeros(2).double()
    longest, rectified = 2 / (1 - second) - 1, []
    for step in range(1, 9):
        gradient = torch.tensor([0.5, -0.25 * step])
        weight.grad = gradient.clone()
        optimizer.step()
        m, v = first * m + (1 - first) * gradient, second * v + (1 - second) * gradient**2
        length = longest - 2 * step * second**step / (1 - second**step)
        x = x - lr * decay * x
        rectified.append(length > 5)
        if length > 5:
            r = ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5
            x = x - lr * r * (m / (1 - first**step)) / ((v / (1 - second**step)) ** 0.5 + eps)
        else:
            x = x - lr * m / (1 - first**step)
        torch.testing.assert_close(weight.detach().double(), x, rtol=1e-5, atol=1e-6)
    assert (rectified[0], rectified[-1]) == (False, True)


def test_a_stage_that_restarts_may_have_its_own_milestones() -> None:
    """As the three networks of URetinex-Net: constant, then one fall, then another of its own."""
    stages = (
        Stage(steps=3, restart=True, milestones=()),
        Stage(steps=4, restart=True, milestones=(3,), gamma=0.1),
        Stage(steps=3, restart=True),
    )
    recipe = Recipe(steps=10, lr=1.0, schedule="step", milestones=(2,), gamma=0.5, stages=stages)
    rates = [learning_rate(recipe, step) for step in range(1, 11)]
    assert rates == [1, 1, 1, 1, 1, 1, 0.1, 1, 1, 0.5]
