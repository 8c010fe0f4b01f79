"""What a frozen backbone gives, computed once for several models that see the same images at the same step.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.parts.guard import versions_of
from harness.parts.ops import forms
from harness.parts.ops.whole_batch import first_image
from harness.training.outputs import each_tensor

COMPARED = 8
"""Uses of a result before which the images themselves are compared on a GPU, which has to be waited for then."""

ALWAYS_COMPARED = frozenset({"cpu"})
"""Kinds of devices on which they always are: it costs little beside a pass."""

Draws = tuple[Tensor, ...]
"""The states of torch's generators: the CPU's, and the present GPU's."""


@dataclass(frozen=True)
class _Made:
    by: str
    given: tuple[Tensor | None, ...]
    found: Any
    after: Draws | None
    """The generators after the pass; None for one that drew nothing."""
    forms: Mapping[str, str]
    """Those in which its operations ran (harness.parts.ops.forms)."""


@dataclass
class OnePass:
    """Stands in for the pass of equal frozen backbones, one in each of several models (RestorationModel.one_pass).

    The first model of a step computes; the others get copies of the very bits, laid out alike, and go on with the
    random numbers that their own pass would have left. A model that is given other images computes itself, and so do
    all from the first pass on that changes a backbone's buffers or weights: then each has to have its own. So nothing
    depends on whether a pass was shared.
    """

    model: str = ""
    """The name of the model that takes its step now. One that passes the same images again computes again."""
    stream: Hashable = None
    """What it reads: models of different streams share nothing."""
    form: Callable[[], Hashable] | None = None
    """How it computes its backbone: no model takes over what another one has computed in another way, as a graph."""
    shares: bool = True
    computed: int = 0
    """Passes that were computed."""
    taken_over: int = 0
    """Passes that were not, as another model's were there."""
    _made: dict[Hashable, _Made] = field(default_factory=dict)

    def forget(self) -> None:
        """Lets go of what was computed. To be called when all have taken a step."""
        self._made.clear()

    def __call__(self, backbone: nn.Module, work: Callable[..., Any], *given: Any) -> Any:
        """What `work` gives for `given`, tensors and tuples of them, when it calls the backbone. To be called in
        evaluation mode, without gradients, right after torch's generator was seeded for this part of the batch."""
        if not self.shares:
            return work(*given)
        # Halves of a group that was too large for the memory have one seed.
        key = (self.stream, torch.initial_seed(), first_image(), self.form and self.form())
        tensors = _flat(given)
        known = self._made.get(key)
        if known is not None and known.by != self.model and self._fits(known.given, tensors):
            self.taken_over += 1
            if known.after is not None:
                _set_draws(known.after)
            forms.note(known.forms)
            return each_tensor(known.found, _copy)
        before, state = _draws(), _state(backbone)
        with forms.noting() as ran:
            found = work(*given)
        forms.note(ran)
        self.computed += 1
        if _state(backbone) != state:
            self.shares = False
            self.forget()
        elif known is None or known.by == self.model:
            after = _draws()
            same = all(map(torch.equal, before, after))
            self._made[key] = _Made(self.model, tensors, each_tensor(found, _copy), None if same else after, ran)
        return found

    def _fits(self, one: tuple[Tensor | None, ...], other: tuple[Tensor | None, ...]) -> bool:
        compared = self.taken_over < COMPARED
        return len(one) == len(other) and all(_alike(*pair, compared) for pair in zip(one, other, strict=True))


def _flat(given: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
    found: list[Tensor | None] = []
    for each in given:
        found += _flat(each) if isinstance(each, tuple) else [each]
    return tuple(found)


def _alike(one: Tensor | None, other: Tensor | None, compared: bool) -> bool:
    if one is None or other is None:
        return one is other
    if (one.shape, one.dtype, one.device, one.stride()) != (other.shape, other.dtype, other.device, other.stride()):
        return False
    return torch.equal(one, other) if compared or one.device.type in ALWAYS_COMPARED else True


def _copy(tensor: Tensor) -> Tensor:
    """The same values in the same layout, so that what is computed from them is the same to the last bit."""
    memory = tensor.untyped_storage().clone()
    empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return empty.set_(memory, tensor.storage_offset(), tensor.size(), tensor.stride())  # type: ignore[call-overload,no-any-return]


def _state(backbone: nn.Module) -> tuple[int, ...]:
    """How often each buffer and weight was changed."""
    return versions_of(*backbone.buffers(), *backbone.parameters())


def _draws() -> Draws:
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return (torch.get_rng_state(), torch.cuda.get_rng_state()) if on_gpu else (torch.get_rng_state(),)


def _set_draws(states: Draws) -> None:
    cpu, *gpu = states
    torch.set_rng_state(cpu)
    for state in gpu:
        torch.cuda.set_rng_state(state)
