"""Reads or changes the output of a module inside a network, by the module's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from harness.core.errors import HarnessError, did_you_mean


@contextmanager
def tapped(module: nn.Module, name: str) -> Iterator[list[Tensor]]:
    """Collects what the submodule `name` gives, one tensor per forward pass, while the block runs.

    `with tapped(network, "latent") as features: network(images)`, then `features[0]`. Raises HarnessError when there
    is no such submodule.
    """
    target = _named(module, name)
    features: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        features.append(output)

    handle = target.register_forward_hook(keep)
    try:
        yield features
    finally:
        handle.remove()


@contextmanager
def edited(module: nn.Module, name: str, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Puts `edit(output)` in the place of what the submodule `name` gives, while the block runs.

    Raises HarnessError when there is no such submodule.
    """

    def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return edit(output).to(output.dtype)

    handle = _named(module, name).register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def _named(module: nn.Module, name: str) -> nn.Module:
    modules = dict(module.named_modules())
    if not name or name not in modules:
        raise HarnessError(
            f"{type(module).__name__} has no tap {name!r}", hint=did_you_mean(name, filter(None, modules))
        )
    return modules[name]
