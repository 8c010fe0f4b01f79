"""What a network or a loss does with a whole batch, of which each process sees a share: the same as one process does.

Images that pass a network at once are a *group*: `recipe.micro_batch` of them, the whole batch where a recipe says
nothing. Batch statistics are those of a group, and random numbers are drawn for a group, however many processes share
it. A group lies in one process or is shared by several whole shares; where neither holds, statistics cannot be taken.

One process with whole groups needs nothing of this, and its networks stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.core.errors import HarnessError
from harness.parts.ops.alpha import alpha_dropped
from harness.parts.ops.exchange import gathered, summed

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ALPHAS = (nn.AlphaDropout, nn.FeatureAlphaDropout)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, *_ALPHAS)
DROPS = frozenset({"DropPath", "StochasticDepth"})
"""Names under which libraries have the layer that drops a residual branch of some samples."""


@dataclass(frozen=True)
class Pass:
    """The images of a batch that one process passes through the network at once."""

    first: int
    """The place of its first image in the whole batch."""
    images: int
    group: range
    """The places of the images that one process would pass at once."""
    rank: int = 0
    ranks: int = 1
    share: int = 0
    """Images of the whole batch that each process has."""

    @property
    def members(self) -> range:
        """The processes that share the group."""
        return range(self.group.start // self.share, (self.group.stop - 1) // self.share + 1)

    @property
    def is_whole(self) -> bool:
        """Whether it passes its group at once and alone, in the only process."""
        return self.ranks == 1 and self.images == len(self.group)

    @property
    def of_group(self) -> int:
        """Images of the group that its process has."""
        first, end = self.rank * self.share, (self.rank + 1) * self.share
        return min(self.group.stop, end) - max(self.group.start, first)


ALONE = Pass(0, 1, range(1), share=1)
"""One image, which is a batch."""


def passes(
    share: int, *, rank: int = 0, ranks: int = 1, group: int | None = None, most: int | None = None
) -> list[Pass]:
    """The passes of one process's share of a batch, in their order.

    `share`: images that each process has of it; `group`: images of a group, the whole batch when None; `most`: images
    that may pass at once, where there is no memory for a group.
    """
    batch, end, first = share * ranks, (rank + 1) * share, rank * share
    found = []
    while first < end:
        start = first - first % (group or batch)
        places = range(start, min(batch, start + (group or batch)))
        images = min(most or batch, places.stop - first, end - first)
        found.append(Pass(first, images, places, rank, ranks, share))
        first += images
    return found


_now: Pass | None = None
"""The pass that this process computes. One for all threads: a worker runs one job at a time."""
_statistics: list[tuple[_BatchNorm, Tensor, Tensor]] = []
"""Norms with the mean and the unbiased variance of a group, [C] each, which their running ones have not taken yet."""
_sums: Callable[[Tensor], Tensor] | None = None
"""What stands in for the exchange of sums where a group is tried without other processes."""


@contextmanager
def trying(one: Pass, sums: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, a prepared network and losses compute that pass, whole or not, without other processes: `sums` gives for
    the sum of what the pass has of a group that of all of it. Running statistics stay as they are."""
    global _now, _sums
    before, _now, _sums = (_now, _sums), one, sums
    try:
        yield
    finally:
        _now, _sums = before
        _statistics.clear()


@contextmanager
def passing(one: Pass) -> Iterator[None]:
    """Inside, a prepared network (`prepare`) and losses compute that pass."""
    global _now
    before, _now = _now, None if one.is_whole else one
    try:
        yield
    except BaseException:
        _statistics.clear()
        raise
    finally:
        _now = before


def first_image() -> int:
    """The place in the whole batch of the first image of the present pass; 0 where that is a whole group."""
    return 0 if _now is None else _now.first


def prepare(module: nn.Module) -> None:
    """Makes the batch norms and the dropping layers of a network, or a loss, those of groups.

    Names, weights and buffers stay as they are, and so does what they compute wherever one process passes whole groups.
    """
    part: Any
    for part in module.modules():
        kind: Any = type(part)
        if kind in _NORMS:
            part.__class__ = _group_norm(kind)
        elif kind.__name__ in DROPS or (kind in DROPOUTS and part.p > 0):
            part.__class__ = _group_drop(kind)


def follows_groups(module: nn.Module) -> bool:
    """Whether a prepared network or loss has layers that look over a group, in the mode they are in."""
    return any(part.training and getattr(part, "of_groups", False) for part in module.modules())


def takes_statistics(*modules: nn.Module) -> bool:
    """Whether prepared networks and losses have batch norms that normalise by their group, in the mode they are in."""
    parts = (part for module in modules for part in module.modules())
    return any(isinstance(part, _NORMS) and part.training for part in parts)


def mean_of_group(values: Tensor) -> Tensor:
    """The mean over a group, of which every process gives as many values; gradients go to all of them.

    Raises HarnessError (kind `memory`) where a group does not pass at once.
    """
    if _now is None:
        return values.mean()
    _check_uncut(_now)
    if len(_now.members) == 1 and _sums is None:
        return values.mean()
    return _summed(values.sum()) / (values.numel() * len(_now.members))


def drawn(values: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """What `draw` makes of a tensor like `values` (B×…, or k·B×… with the k rows of an image together) for the whole
    group, cut to the images that pass now. It draws from torch's generator, which is seeded alike in every process."""
    if _now is None or len(values) % _now.images:
        return draw(values)
    rows = len(values) // _now.images
    whole = draw(values.new_ones((rows * len(_now.group), *values.shape[1:])))
    return whole[rows * (_now.first - _now.group.start) :][: len(values)]


@cache
def _group_drop(kind: Any) -> Any:
    """A layer that multiplies by random numbers, with those of the whole group."""

    def forward(self: Any, x: Tensor) -> Tensor:
        plain: Callable[[Tensor], Tensor] = kind.forward.__get__(self)
        if _now is None or not self.training or len(x) % _now.images:
            return plain(x)
        return alpha_dropped(x, drawn(x, plain), self.p) if issubclass(kind, _ALPHAS) else x * drawn(x, plain)

    return type(f"Group{kind.__name__}", (kind,), {"forward": forward, "of_groups": True})


@cache
def _group_norm(kind: Any) -> Any:
    def forward(self: _BatchNorm, x: Tensor) -> Tensor:
        return kind.forward(self, x) if _now is None or not self.training else _normalised(self, x)

    return type(f"Group{kind.__name__}", (kind,), {"forward": forward, "of_groups": True})


def _normalised(norm: _BatchNorm, x: Tensor) -> Tensor:
    """B×C×… to the same, by the mean and the variance of the group: torch.nn.BatchNorm over all of its images."""
    assert _now is not None
    _check_uncut(_now)
    norm._check_input_dim(x)
    values = x if x.dtype == torch.float64 else x.float()
    dims = [0, *range(2, values.ndim)]
    count = values.numel() // values.shape[1] * len(_now.members)
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.size()}")
    shape = (1, -1, *(1 for _ in dims[1:]))
    mean_C = _summed(values.sum(dims)) / count
    centred = values - mean_C.view(shape)
    variance_C = _summed(centred.square().sum(dims)) / count
    if norm.track_running_stats:
        _statistics.append((norm, mean_C.detach(), variance_C.detach() * (count / (count - 1))))
    factor_C = torch.rsqrt(variance_C + norm.eps)
    if norm.affine:
        factor_C = factor_C * norm.weight
    result = centred * factor_C.view(shape)
    if norm.affine:
        result = result + norm.bias.view(shape)
    return result.to(x.dtype)


def _check_uncut(now: Pass) -> None:
    """Raises HarnessError (kind `memory`) where a process passes fewer images than it has of the group."""
    if now.images < now.of_group:
        what = f"memory ran out, and {now.images} of {now.of_group} images at once would be another training:"
        what += " batch norm, or a loss that compares images, takes statistics of them together"
        hint = "more processes in `run:`, which share them; a machine with more memory; a smaller recipe.micro_batch"
        raise HarnessError(what, where="recipe.micro_batch", hint=hint, kind="memory")


def _summed(values: Tensor) -> Tensor:
    """The sum of the tensors of the processes that share the group, on all of them."""
    assert _now is not None
    members = _now.members
    if _sums is not None:
        return _sums(values)
    if _now.share % len(_now.group) and len(_now.group) % _now.share:
        what = f"groups of {len(_now.group)} images cannot be normalised together in shares of {_now.share}"
        hint = "a recipe.micro_batch that divides each process's share of the batch, or fewer processes in `run:`"
        raise HarnessError(what, where="recipe.micro_batch", hint=hint, kind="suite")
    return values if len(members) == 1 else summed(values, members)


@torch.no_grad()
def of_all(values: Tensor) -> Tensor:
    """The rows, B×…, that all processes pass now, in the order of ranks (collective)."""
    if _now is None or (_now.ranks == 1 and _sums is None):
        return values
    if _sums is None:
        return torch.cat(gathered(values))
    whole = values.new_zeros((len(_now.group), *values.shape[1:]))
    whole[_now.first - _now.group.start :][: len(values)] = values
    return _sums(whole)


def take_statistics(one: Pass) -> None:
    """Lets the running statistics of norms take those of all groups of a step, in the order of the whole batch, after
    the passes of all processes. `one`: any of this process's (collective)."""
    if not _statistics:
        return
    mine = torch.cat([torch.cat([mean_C, variance_C]) for _, mean_C, variance_C in _statistics])
    shared = len(one.members)
    every = [mine] if shared == one.ranks else gathered(mine)[::shared]
    sizes = [2 * len(mean_C) for _, mean_C, _ in _statistics]
    for of_groups in every:
        for (norm, _, _), both in zip(_statistics, of_groups.split(sizes), strict=True):
            _follow(norm, *both.chunk(2))
    _statistics.clear()


@torch.no_grad()
def _follow(norm: _BatchNorm, mean_C: Tensor, variance_C: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean_C.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance_C.to(norm.running_var.dtype), share)
