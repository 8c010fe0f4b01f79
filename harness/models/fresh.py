"""Fresh weights that make comparisons paired: what two cells have in common starts from the same numbers.

F is drawn from its name, its options and the cell's seed. Every parameter of R, and of a loss with a network of its
own, is drawn from the part's name, the parameter's name and the seed. So a variant's F is the base's, and an ablation
shares everything with the full module that it does not leave out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from harness.core.identity import seed

M = TypeVar("M", bound=nn.Module)


def fresh_whole(kind: str, part: PartRef, number: int, make: Callable[[], M]) -> M:
    """F, or a loss without weights that train, as `make` builds it: from one stream of random numbers.

    `number`: the cell's seed. Neither the part's version nor its files of weights enter: what is otherwise the same
    starts as it did.
    """
    with seeded(seed("init", kind, part.name, part.identity()["options"], number)):
        return _sized(make(), kind, part)


def fresh_module(kind: str, part: PartRef, number: int, make: Callable[[], M]) -> M:
    """A module as `make` builds it, each parameter from random numbers of its own. `number`: the cell's seed.

    It is built twice: once to see which parameter each random number goes to, and once with those drawn anew. Random
    numbers that reach a parameter only through other tensors are told apart by their order. PyTorch's own generator is
    seeded for every draw, so that a constructor cannot fix a draw by seeding it; one with a generator of its own can.
    """
    with seeded(number), _Draws() as first:
        names = {_storage(tensor): name for name, tensor in _tensors(_sized(make(), kind, part))}
    owners = [names.get(storage, "") for storage in first.filled]
    with seeded(number), _Draws(_seeds(kind, part.name, number, owners)):
        return make()


def _sized(module: M, kind: str, part: PartRef) -> M:
    """The module. Raises HarnessError when some of its weights have no size yet."""
    lazy = [name for name, tensor in _tensors(module) if is_lazy(tensor)]
    if lazy:
        what = f"its weights {', '.join(lazy)} have no size before it has seen an image"
        raise HarnessError(what, where=f"{kind} {part.name}", hint="give its layers their sizes: nothing lazy")
    return module


def _seeds(kind: str, part: str, number: int, owners: Sequence[str]) -> Iterator[int]:
    """The seed of each draw. A parameter that is filled several times has a seed for each time."""
    times: dict[str, int] = {}
    for owner in chain(owners, repeat("")):  # no end, should the second construction draw more than the first
        times[owner] = times.get(owner, 0) + 1
        yield seed("init", kind, part, owner, times[owner], number)


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Draws(TorchDispatchMode):
    """Notes which storage every random operation fills, and seeds the operation if there are `seeds`."""

    def __init__(self, seeds: Iterator[int] | None = None) -> None:
        super().__init__()
        self._seeds = seeds
        self._alive: list[torch.Tensor] = []
        self.filled: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        if self._seeds is not None:
            torch.default_generator.manual_seed(next(self._seeds))
        result = func(*args, **(kwargs or {}))
        if self._seeds is None and isinstance(result, torch.Tensor):
            self._alive.append(result)  # else its storage could come back as another tensor's
            self.filled.append(_storage(result))
        return result


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """That seed of the CPU's generators inside, of PyTorch, Python and NumPy, whose states are restored afterwards."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        random.seed(number)
        np.random.seed(number % 2**32)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(number)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
