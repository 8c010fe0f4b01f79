"""States by the names of the parameters: an optimizer's, instead of their places in its groups; digests."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_WAYS = ("fused", "foreach", "capturable", "differentiable")
"""Options of a group that say how it computes, and not what."""


def named_state(optimizer: Optimizer, network: nn.Module) -> dict[str, Any]:
    """`state`: parameter name → its moments and numbers, on the CPU; `groups`: the groups without parameters.

    Parameters that have had no gradient yet have no entry.
    """
    names = _names(network)
    state = {
        names[id(parameter)]: {key: _kept(value) for key, value in own.items()}
        for parameter, own in optimizer.state.items()
    }
    return {"state": state, "groups": [options_of(group) for group in optimizer.param_groups]}


def options_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group of an optimizer without its parameters."""
    return {name: value for name, value in group.items() if name != "params"}


def take_options(group: dict[str, Any], saved: Mapping[str, Any]) -> None:
    """Takes over a saved group's options, but for how the present optimizer computes."""
    group.update({name: value for name, value in saved.items() if name not in (*_WAYS, "params")})


def load_named(optimizer: Optimizer, network: nn.Module, state: Mapping[str, Any]) -> None:
    """Puts back what `named_state` gave of an optimizer of the same parameters, wherever they are.

    Groups keep how they compute.
    """
    names = _names(network)
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    places = {name: place for place, name in enumerate(order)}
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    groups, first = [], 0
    for mine, group, size in zip(optimizer.param_groups, state["groups"], sizes, strict=True):
        own_way = {key: value for key, value in mine.items() if key in _WAYS}
        groups.append({**group, **own_way, "params": list(range(first, first + size))})
        first += size
    own = {places[name]: dict(entry) for name, entry in state["state"].items()}
    optimizer.load_state_dict({"state": own, "param_groups": groups})


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors, in their order."""
    found = sha256()
    for name, value in tensors.items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _names(network: nn.Module) -> dict[int, str]:
    return {id(parameter): name for name, parameter in network.named_parameters()}


def _kept(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value
