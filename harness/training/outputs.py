"""What networks give beside their restorations, for losses: containers of tensors, of any shape and depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from harness.api.batch import Restored


def detached(restored: Restored) -> Restored:
    """The same tensors without their gradients."""
    refined = restored.refined_BCHW
    return Restored(
        restored.initial_BCHW.detach(),
        None if refined is None else refined.detach(),
        each_tensor(restored.outputs, Tensor.detach),
    )


def tensors_in(outputs: Any) -> list[Tensor]:
    """All tensors in outputs, at any depth."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    each_tensor(outputs, keep)
    return found


def each_tensor(outputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same mappings, lists and tuples with every tensor changed; anything else as it is."""
    if isinstance(outputs, Tensor):
        return change(outputs)
    if isinstance(outputs, Mapping):
        return type(outputs)({name: each_tensor(value, change) for name, value in outputs.items()})  # type: ignore[call-arg]
    if isinstance(outputs, list | tuple):
        items = [each_tensor(item, change) for item in outputs]
        return type(outputs)(*items) if hasattr(outputs, "_fields") else type(outputs)(items)
    return outputs
