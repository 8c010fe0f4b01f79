"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.training.average import Average


def test_it_is_the_sum_of_all_weights_so_far() -> None:
    """e_k = dᵏ·w₀ + (1 − d)·Σ dᵏ⁻ⁱ·wᵢ, without a correction for the start."""
    decay, model = 0.9, nn.Linear(2, 1)
    average, seen = Average(model, decay), [model.weight.detach().clone()]
    for step in range(1, 6):
        with torch.no_grad():
            model.weight.add_(step)
        seen.append(model.weight.detach().clone())
        average.update()
    expected = decay**5 * seen[0] + 0.1 * sum(decay ** (5 - i) * seen[i] for i in range(1, 6))
    average.replace_weights()
    torch.testing.assert_close(model.weight.detach(), expected)


def test_statistics_are_the_last_ones_and_what_never_trains_is_left_alone() -> None:
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(norm, nn.Linear(2, 2).requires_grad_(False))
    average = Average(model, 0.5)
    model(torch.rand(4, 2) + 3)
    with torch.no_grad():
        norm.weight.fill_(5.0)
    assert norm.running_mean is not None
    mean = norm.running_mean.clone()
    average.update()
    assert set(average.state()) == {"0.weight", "0.bias"}
    average.replace_weights()
    assert torch.equal(norm.running_mean, mean)
    assert norm.weight.tolist() == [3.0, 3.0]


def test_it_goes_on_from_its_state() -> None:
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    first = Average(one, 0.5)
    with torch.no_grad():
        one.weight.fill_(7.0)
    first.update()
    second = Average(other, 0.5)
    other.load_state_dict(one.state_dict())
    second.load(first.state())
    for average, model in ((first, one), (second, other)):
        average.update()
        average.replace_weights()
        assert model.weight.requires_grad
    assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("trained", [True, False])
def test_without_a_decay_nothing_is_kept(trained: bool) -> None:
    model = nn.Linear(2, 1).requires_grad_(trained)
    average = Average(model, None)
    before = model.weight.detach().clone()
    average.update()
    average.replace_weights()
    assert average.state() == {}
    assert torch.equal(model.weight, before)
