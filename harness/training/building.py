"""Modules built for a trial: with numbers up to a size, and without, which costs no memory however large they are."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from harness.api.loading import load_part
from harness.core.guests import contained
from harness.core.registry import Registry
from harness.training.faults import Unknowable

Device = Literal["meta", "cpu"]

KEPT = 2_000_000
"""Parameters of the largest networks that are kept in memory with their numbers."""
MOST = 100_000_000
"""Parameters of the largest module that is built with numbers."""


class TooLarge(Unknowable):
    """Ends the building of a module that would fill this machine's memory."""


def built(make: Callable[[], nn.Module], device: Device) -> nn.Module:
    """What `make` builds, on a device. Raises what it raises, and TooLarge for too many parameters on the CPU.

    A module that cannot be built without numbers is built with them, and loses them.
    """
    module: nn.Module | None = None
    if device == "meta":
        try:
            with torch.device("meta"), _RatesWithNumbers():
                module = make()
        except Unknowable:
            raise
        except Exception:  # noqa: BLE001 - whether numbers are missing or the options are wrong shows on the CPU
            pass
    if module is None:
        with torch.device("cpu"), _bounded():
            module = make().to(device)
    if not isinstance(module, nn.Module):
        raise TypeError(f"it is an nn.Module, and this is a {type(module).__name__}")
    return module


def imported(registry: Registry, kind: str, name: str) -> None:
    """Imports a part where tensors have numbers: constants of its modules stay, for all that is built later."""
    with torch.device("cpu"), contained():
        load_part(registry, kind, name)


def parameters(module: nn.Module) -> int:
    """How many numbers a module's parameters hold."""
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _bounded() -> Iterator[None]:
    """Raises TooLarge inside as soon as modules have more than `MOST` parameters, before they are filled."""
    together = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter) -> None:
        nonlocal together
        together += 0 if parameter is None else parameter.numel()
        if together > MOST:
            raise TooLarge(f"more than {MOST:,} parameters")

    hook = register_module_parameter_registration_hook(count)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hook.remove()


class _RatesWithNumbers(TorchFunctionMode):
    """Leaves `torch.linspace` on the CPU: constructors read rates of dropped paths from it, one number a block."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func is torch.linspace:
            given.setdefault("device", "cpu")
        return func(*args, **given)


def as_it_was(module: nn.Module, trains: Mapping[str, bool]) -> None:
    """A shared backbone as it was before a cell froze it or read it."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(trains[name])
        parameter.grad = None
    module.train()


@contextmanager
def quiet() -> Iterator[None]:
    """In one thread, and without what networks log or warn of, which is told when they train."""
    before, threads = logging.root.manager.disable, torch.get_num_threads()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)  # others would wait for work that is too small to share, at full load
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        logging.disable(before)
