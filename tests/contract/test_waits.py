"""What the contracts of networks find of waits for a GPU: every way to wait, and nothing that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.absent_gpu import GPU, absent_gpu, on_gpu, waits_of

WAITING: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: 1 if (x > 0).any() else 2,
    "number of a list": lambda x: [1, 2, 3][(x.sum() > 0).long()],
    "cpu": lambda x: x.cpu(),
    "tolist": lambda x: x[0, 0, 0].tolist(),
    "equal": lambda x: torch.equal(x, x),
    "tensor": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "one number": lambda x: torch.tensor(2.0, device=x.device),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "as_tensor": lambda x: torch.as_tensor(2.0, device=x.device),
    "list of places": lambda x: x[..., [0, 1]],
    "made on the host": lambda x: torch.linspace(0, 1, 8).to(x),
    "type_as": lambda x: torch.zeros(3).type_as(x),
    "numpy": lambda x: torch.from_numpy(np.zeros(3)).to(x.device),
    "drawn on the host": lambda x: torch.rand(3, generator=torch.Generator()).to(x.device),
    "copy_": lambda x: x.detach().copy_(torch.zeros(x.shape)),
    "places of a mask": lambda x: x.detach().__setitem__(x > 0, torch.zeros(3, device=x.device)),
    "inverse": lambda x: torch.linalg.inv(x[..., :3, :3]),
}
FAILING: dict[str, Callable[[Tensor], Any]] = {
    "numpy": lambda x: x.numpy(),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "repeat_interleave": lambda x: x.repeat_interleave(torch.ones(2, dtype=torch.long, device=x.device), 0),
    "another device": lambda x: x + torch.linspace(0, 1, 8),
}
"""After which code without numbers cannot go on."""
FREE: dict[str, Callable[[Tensor], Any]] = {
    "a number": lambda x: x * 2 + torch.ones(()),
    "a number put": lambda x: x.__setitem__((slice(None), 0), 3.0),
    "a number where a mask is": lambda x: x.__setitem__(x > 0, 0.0),
    "made there": lambda x: x[..., torch.arange(3, device=x.device)],
    "a mask": lambda x: torch.where(x > 0, x.masked_fill(x < 0, 0.0), 1.0),
    "drawn": lambda x: torch.randn_like(x),
    "the host's own": lambda x: x[..., : int(torch.randint(1, 4, ()))],
    "full": lambda x: torch.full((), 3.0, device=x.device),
    "seed": lambda x: torch.manual_seed(3),
}


def image() -> Tensor:
    return torch.empty(2, 3, 8, 8, device=GPU)


@pytest.mark.parametrize("name", WAITING)
def test_waits_are_found(name: str) -> None:
    with absent_gpu():
        (found,) = waits_of(WAITING[name], image())
    assert __file__ in found


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_said_without_numbers_fails(name: str) -> None:
    with absent_gpu(), pytest.raises(RuntimeError):
        waits_of(FAILING[name], image())


@pytest.mark.parametrize("name", FREE)
def test_nothing_else_is(name: str) -> None:
    with absent_gpu():
        assert waits_of(FREE[name], image()) == []


def test_a_module_moves_whole() -> None:
    inner = nn.Linear(2, 2)
    module = nn.Sequential(nn.BatchNorm1d(2), inner, inner)
    hidden = nn.Linear(2, 2).requires_grad_(False)
    vars(module)["hidden"] = (hidden,)
    with absent_gpu():
        on_gpu(module)
        assert module[1].weight is module[2].weight
        kept = [*module.parameters(), *module.buffers(), *hidden.parameters()]
        assert {tensor.device for tensor in kept} == {GPU}
        assert [parameter.requires_grad for parameter in kept].count(False) == 3 + 2
