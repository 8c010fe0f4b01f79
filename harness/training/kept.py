"""What parts keep of themselves from call to call beside their weights, and what a process draws from: as it is now,
whether it has changed, and put back.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CHANGES = "what it keeps of itself changes from call to call"
DRAWS = "it draws random numbers of Python or NumPy"

_DEEPEST = 4
"""Objects inside objects of plain classes that are looked into."""
_FOREIGN = {"torch", "numpy", *sys.stdlib_module_names} - {"__main__"}
"""Packages whose objects are not looked into, but for those named here."""


@dataclass(frozen=True)
class _Slot:
    is_same: Callable[[], bool]
    put_back: Callable[[], None]
    counts: bool
    """False for buffers, which a graph follows."""


class Kept:
    """The buffers of modules and whatever else their objects hold, at any depth: tensors, arrays, counters, caches,
    generators. Weights are not looked at; nor is what lies in a module of Python, or in a closure."""

    def __init__(self, *modules: nn.Module) -> None:
        self._slots: list[_Slot] = []
        self._seen: dict[int, Any] = {}
        for module in modules:
            self._note(module, counts=True, depth=0)
        self._draws = _draws()

    def change(self) -> str:
        """Why no graph can stand for what was called since; empty where nothing but buffers has changed."""
        if any(each.counts and not each.is_same() for each in self._slots):
            return CHANGES
        return "" if _draws() == self._draws else DRAWS

    def changes(self) -> bool:
        """Whether anything but buffers has changed, whatever the process has drawn."""
        return any(each.counts and not each.is_same() for each in self._slots)

    def put_back(self) -> None:
        """Makes all as it was."""
        for each in self._slots:
            if not each.is_same():
                each.put_back()
        state, numpy_state = self._draws
        random.setstate(state)
        np.random.set_state(_numpy_state(numpy_state))

    def _note(self, value: Any, *, counts: bool, depth: int) -> None:
        if id(value) in self._seen or isinstance(value, nn.Parameter):
            return
        self._seen[id(value)] = value  # held, so that no other object gets its number
        if isinstance(value, nn.Module):
            self._note_items(vars(value), counts=counts, depth=depth, own=True)
        elif isinstance(value, dict):
            self._note_items(value, counts=counts, depth=depth)
        elif isinstance(value, list | deque | set | tuple):
            self._note_sequence(value, counts=counts, depth=depth)
        elif (slot := _slot(value, counts=counts)) is not None:
            self._slots.append(slot)
        elif _is_plain_object(value) and depth < _DEEPEST:
            self._note_items(vars(value), counts=counts, depth=depth + 1)

    def _note_items(self, items: dict[Any, Any], *, counts: bool, depth: int, own: bool = False) -> None:
        before = dict(items)

        def put_back() -> None:
            items.clear()
            items.update(before)

        def is_same() -> bool:
            return items.keys() == before.keys() and all(_alike(before[name], items[name]) for name in before)

        self._slots.append(_Slot(is_same, put_back, counts))
        for name, value in before.items():
            self._note(value, counts=counts and not (own and name == "_buffers"), depth=depth)

    def _note_sequence(self, held: Any, *, counts: bool, depth: int) -> None:
        before = list(held)
        if isinstance(held, set):
            kept = set(held)
            self._slots.append(_Slot(lambda: held == kept, lambda: _refill(held, kept), counts))
        elif not isinstance(held, tuple):
            self._slots.append(_Slot(lambda: _alike_all(before, list(held)), lambda: _refill(held, before), counts))
        for each in before:
            self._note(each, counts=counts, depth=depth)


@contextmanager
def left_alone(device: torch.device, *modules: nn.Module) -> Iterator[Kept]:
    """A block after which modules keep what they kept before, and every generator of the process goes on as it would
    have without."""
    kept = Kept(*modules)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield kept
    finally:
        kept.put_back()


def _slot(value: Any, *, counts: bool) -> _Slot | None:
    """A value that is changed in its place."""
    if isinstance(value, Tensor):
        if value.is_inference() or value.layout != torch.strided or value.is_meta:
            return None
        copy = value.detach().clone()
        return _Slot(lambda: _alike(copy, value), lambda: _fill(value, copy), counts)
    if isinstance(value, np.ndarray):
        array = value.copy()
        return _Slot(lambda: np.array_equal(array, value), lambda: np.copyto(value, array), counts)
    if isinstance(value, random.Random):
        state = value.getstate()
        return _Slot(lambda: value.getstate() == state, lambda: value.setstate(state), counts)
    if isinstance(value, np.random.Generator):
        of_bits = repr(value.bit_generator.state), value.bit_generator.state
        return _Slot(
            lambda: repr(value.bit_generator.state) == of_bits[0],
            lambda: setattr(value.bit_generator, "state", of_bits[1]),
            counts,
        )
    if isinstance(value, torch.Generator):
        drawn = value.get_state()
        return _Slot(lambda: torch.equal(value.get_state(), drawn), lambda: _set_state(value, drawn), counts)
    return None


def _is_plain_object(value: Any) -> bool:
    cls = type(value)
    return hasattr(value, "__dict__") and not isinstance(value, type) and cls.__module__.split(".")[0] not in _FOREIGN


def _alike(one: Any, other: Any) -> bool:
    """Whether a value is the one before, or one that stands for the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        same = (one.shape, one.dtype, one.device, one.layout) == (other.shape, other.dtype, other.device, other.layout)
        return same and one.layout == torch.strided and not one.is_meta and torch.equal(one, other)
    if isinstance(one, tuple):
        return _alike_all(list(one), list(other))
    return isinstance(one, bool | int | float | complex | str | bytes | frozenset) and one == other


def _alike_all(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(_alike, one, other))


def _fill(tensor: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        tensor.detach().copy_(values)


def _set_state(generator: torch.Generator, state: Tensor) -> None:
    generator.set_state(state)


def _refill(held: Any, values: Any) -> None:
    held.clear()
    (held.update if isinstance(held, set) else held.extend)(values)


def _draws() -> tuple[Any, tuple[Any, ...]]:
    """The states of Python's generator and NumPy's, which can be compared."""
    name, keys, *rest = np.random.get_state()
    return random.getstate(), (name, np.asarray(keys).tobytes(), *rest)


def _numpy_state(state: tuple[Any, ...]) -> tuple[Any, ...]:
    name, keys, *rest = state
    return name, np.frombuffer(keys, dtype=np.uint32), *rest
