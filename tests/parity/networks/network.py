"""Our network for a golden's configuration, called as the authors' is called.

One module a network, named as the goldens name it, with `build(golden) -> Network`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from torch import Tensor, nn

from tests.parity.goldens import Golden

Inputs = Mapping[str, Tensor]


class NotSupported(Exception):
    """A configuration that ours cannot be given, with the reason."""


@dataclass(frozen=True)
class Network:
    """Modules by the prefix of their official keys, and the call that maps named inputs to all outputs."""

    modules: Mapping[str, nn.Module]
    outputs: Callable[[Inputs], list[Tensor]]


def builder(name: str) -> Callable[[Golden], Network] | None:
    """The function that builds a network of ours for a golden; None when there is none yet."""
    if find_spec(f"tests.parity.networks.{name}") is None:
        return None
    build: Callable[[Golden], Network] = import_module(f"tests.parity.networks.{name}").build
    return build
