"""A pass of images as written that finds the calls of the parts of a training, and which of them can be no graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.parts.ops.whole_batch import follows_groups
from harness.training.kept import Kept
from harness.training.passes import MicroBatch
from harness.training.tryout import Call, Work, autocast_of

Key = tuple[Any, ...]


@dataclass
class Look:
    """A pass of images as written, in which every call of a part is noted."""

    images: MicroBatch
    seen: dict[Key, tuple[Call, str]] = field(default_factory=dict)
    """The calls, and why the part is to run as written; empty where it is to be tried."""
    asked: bool = False
    """Whether the present part has asked for sums over other passes of the batch."""

    def sums(self, own: Tensor) -> Tensor:
        """Stands for the sums over all passes of the batch."""
        self.asked = True
        return own

    def __call__(self, key: Key, part: nn.Module, work: Work, given: tuple[Tensor | None, ...]) -> Any:
        place = self.images.place
        call = Call.of(part, work, given, place, self.images.number)
        self.asked, kept = False, Kept(part)
        result = work(*given)
        over_batch = not place.is_whole and (self.asked or follows_groups(part))
        reason = _IN_PARTS if over_batch else kept.change()
        if reason or key not in self.seen:
            self.seen[key] = call, reason
        return result


_IN_PARTS = "it looks over a batch that passes in several parts"


@contextmanager
def unshared(model: nn.Module) -> Iterator[None]:
    """Inside, a model computes its F itself, whoever else has computed it: each training finds out for itself."""
    shared = getattr(model, "one_pass", None)
    if shared is None:
        yield
        return
    held: Any = model
    held.one_pass = None
    try:
        yield
    finally:
        held.one_pass = shared


def key_of(part: nn.Module, work: Work, given: tuple[Tensor | None, ...]) -> Key:
    """What a graph is made for."""
    device = next((each.device for each in given if each is not None), torch.device("cpu"))
    called = getattr(work, "__name__", "")
    told = (None if each is None else (each.shape, each.stride(), each.dtype, each.requires_grad) for each in given)
    return id(part), called, part.training, torch.is_grad_enabled(), *autocast_of(device), *told
