"""What a loss is given, changed tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.api.loss import LossInputs


def leaf(tensor: Tensor) -> Tensor:
    """A copy that requires a gradient, if its type allows one."""
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point())


def detached(inputs: LossInputs) -> LossInputs:
    """The same without gradients."""
    outputs = each(inputs.outputs, Tensor.detach)
    return replace(inputs, restored_BCHW=inputs.restored_BCHW.detach(), outputs=outputs)


def doubled(inputs: LossInputs, batch: int) -> LossInputs:
    """The same images twice in one batch."""
    return _of_images(inputs, lambda tensor: torch.cat([tensor, tensor]), batch)


def chosen(inputs: LossInputs, places: slice, batch: int) -> LossInputs:
    """Some of the images of a batch."""
    return _of_images(inputs, lambda tensor: tensor[places], batch)


def _of_images(inputs: LossInputs, change: Callable[[Tensor], Tensor], batch: int) -> LossInputs:
    """Every tensor that has a row for each image changed."""

    def changed(tensor: Tensor) -> Tensor:
        return change(tensor) if tensor.ndim and len(tensor) == batch else tensor

    return replace(
        inputs,
        restored_BCHW=changed(inputs.restored_BCHW),
        lq_BCHW=changed(inputs.lq_BCHW),
        gt_BCHW=None if inputs.gt_BCHW is None else changed(inputs.gt_BCHW),
        clean_BCHW=None if inputs.clean_BCHW is None else changed(inputs.clean_BCHW),
        outputs=each(inputs.outputs, changed),
    )


def each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same mappings, lists and tuples with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: each(item, change) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    items = [each(item, change) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in mappings, lists and tuples."""
    found: list[Tensor] = []
    each(value, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found
