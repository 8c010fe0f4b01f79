"""A batch of images as one process computes it and as several do that share it, tried in one process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.parts.ops.whole_batch import Pass, passes, prepare, trying
from harness.testing import checks
from harness.testing.part import numpy_state

BATCH = 4
"""Images of the batch."""
RANKS = 2
SEED = 11
EXPOSURES = (0.02, 0.06, 0.6, 1.0)
"""Factors of the images: shares are unlike, so that what looks at a share sees something else than the whole batch."""
INSTEAD = "`drawn` and `mean_of_group` of harness.parts.ops.whole_batch draw for the whole batch and take its mean"
INSTEAD += ", torch's modules of batch norm and dropout do so by themselves"


@dataclass
class Tried:
    """What a module gave for a whole batch, and for each of its shares, and the module afterwards."""

    whole: Any
    shares: list[Any]
    after: nn.Module
    after_shares: list[nn.Module]


@dataclass
class _Tape:
    """The sums over a group that the pass of the whole one takes, which those of its shares get in its order."""

    sums: list[Tensor] = field(default_factory=list)

    def write(self, values: Tensor) -> Tensor:
        self.sums.append(values.detach())
        return values

    def reader(self) -> tuple[Callable[[Tensor], Tensor], Iterator[Tensor]]:
        left = iter(self.sums)

        def read(values: Tensor) -> Tensor:
            found = next(left, None)
            same = found is not None and found.shape == values.shape
            assert same, "what it takes statistics of depends on which images of a batch a process has"
            assert found is not None
            return found

        return read, left


def tried(module: nn.Module, compute: Callable[[nn.Module, slice], Any]) -> Tried:
    """What `compute(module, places)` gives for all places of a batch and for those of each share, each with a copy of
    the module, as a training prepares it and with the same seed. Raises AssertionError when what is computed draws from
    the generators of Python or NumPy, or takes other statistics for a share than for the batch."""
    prepare(module)
    tape = _Tape()
    copies = [deepcopy(module) for _ in range(RANKS)]
    whole = _passed(module, Pass(0, BATCH, range(BATCH), share=BATCH), tape.write, compute)
    shares = []
    for rank, each in enumerate(copies):
        (one,) = passes(BATCH // RANKS, rank=rank, ranks=RANKS)
        read, left = tape.reader()
        shares.append(_passed(each, one, read, compute))
        assert next(left, None) is None, "it takes statistics of a whole batch that it does not take of a share"
    return Tried(whole, shares, module, copies)


def _passed(
    module: nn.Module, one: Pass, sums: Callable[[Tensor], Tensor], compute: Callable[[nn.Module, slice], Any]
) -> Any:
    with trying(one, sums), checks.seeded(SEED), _drawing_from_torch_alone():
        return compute(module, slice(one.first, one.first + one.images))


@contextmanager
def _drawing_from_torch_alone() -> Iterator[None]:
    python, numpy = random.getstate(), numpy_state()
    yield
    what = "global generator, which no seed of the training sets and which goes its own way in every process"
    assert random.getstate() == python, f"it draws from Python's {what}; try torch.rand(()) in its place"
    assert numpy_state() == numpy, f"it draws from NumPy's {what}; try torch.rand(()) in its place"


def exposed(images_BCHW: Tensor) -> Tensor:
    """Images from dark to bright, BATCH of them."""
    return images_BCHW * torch.tensor(EXPOSURES).view(-1, 1, 1, 1)


def assert_rows_alike(found: Tried, *, tolerance: float) -> None:
    """Every tensor of a whole batch's results is those of its shares together."""
    whole, shares = _named(found.whole), [_named(each) for each in found.shares]
    for name, value in whole.items():
        rows = [each[name] for each in shares if name in each]
        assert len(rows) == RANKS, f"{name} is given for a whole batch and not for a share of it"
        if value.ndim and len(value) == BATCH and value.is_floating_point():
            what = f"{name}: {BATCH} images in one process, and in {RANKS} that share them. It looks at its images"
            what += f" together, or draws random numbers for its share alone; {INSTEAD}"
            assert sum(map(len, rows)) == BATCH, what
            checks.assert_close(torch.cat(rows), value, what, tolerance=tolerance)


def assert_buffers_alike(found: Tried, *, tolerance: float) -> None:
    """The module's floating buffers are the same after a whole batch and after each of its shares."""
    for copy in found.after_shares:
        own = dict(copy.named_buffers())
        for name, value in found.after.named_buffers():
            if value.is_floating_point():
                what = f"the buffer {name} follows the images that its process has, and others in another process"
                checks.assert_close(own[name], value, f"{what}; {INSTEAD}", tolerance=tolerance)


def _named(value: Any, name: str = "the result") -> dict[str, Tensor]:
    """All tensors in mappings, lists and tuples, by where they are."""
    if isinstance(value, Tensor):
        return {name: value.detach()}
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    found: dict[str, Tensor] = {}
    for key, item in items:
        found |= _named(item, str(key) if name == "the result" else f"{name}.{key}")
    return found
