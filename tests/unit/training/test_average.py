"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.training.average import Average
from harness.training.engines.ddp import DdpEngine, start_ddp
from harness.training.objective import Objective
from harness.training.passes import Passes


def engine_of(model: nn.Module) -> DdpEngine:
    engine = start_ddp("fp32", gpus=0)
    engine.prepare(Passes(model, Objective([], 1.0)), torch.optim.SGD(model.parameters(), lr=1.0))
    return engine


def average_of(model: nn.Module, decay: float | None) -> Average:
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    return Average(engine_of(model), names, decay)


def test_it_is_the_sum_of_all_weights_so_far() -> None:
    """e_k = dᵏ·w₀ + (1 − d)·Σ dᵏ⁻ⁱ·wᵢ, without a correction for the start."""
    decay, model = 0.9, nn.Linear(2, 1)
    average, seen = average_of(model, decay), [model.weight.detach().clone()]
    for step in range(1, 6):
        with torch.no_grad():
            model.weight.add_(step)
        seen.append(model.weight.detach().clone())
        average.update()
    expected = decay**5 * seen[0] + 0.1 * sum(decay ** (5 - i) * seen[i] for i in range(1, 6))
    torch.testing.assert_close(average.whole()["weight"], expected)
    assert torch.equal(model.weight, seen[-1]), "the average does not steer the training"


def test_statistics_are_the_last_ones_and_what_never_trains_is_left_alone() -> None:
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(norm, nn.Linear(2, 2).requires_grad_(False))
    average = average_of(model, 0.5)
    model(torch.rand(4, 2) + 3)
    with torch.no_grad():
        norm.weight.fill_(5.0)
    average.update()
    assert set(average.whole()) == {"0.weight", "0.bias"}
    assert average.whole()["0.weight"].tolist() == [3.0, 3.0]


def test_it_goes_on_from_its_state() -> None:
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    first = average_of(one, 0.5)
    with torch.no_grad():
        one.weight.fill_(7.0)
    first.update()
    second = average_of(other, 0.5)
    other.load_state_dict(one.state_dict())
    second.load({name: value.clone() for name, value in first.whole().items()})
    for average in (first, second):
        average.update()
    assert torch.equal(first.whole()["weight"], second.whole()["weight"])


@pytest.mark.parametrize("trained", [True, False])
def test_without_a_decay_nothing_is_kept(trained: bool) -> None:
    model = nn.Linear(2, 1).requires_grad_(trained)
    average = Average(engine_of(model), [name for name, _ in model.named_parameters()], None)
    average.update()
    average.load({})
    assert average.whole() == {}
