"""A GPU that is not there: tensors without numbers that say they are on one, and what waits for it or feeds it.

`FakeTensorMode` makes such tensors without CUDA, so that code takes the ways that it takes on a GPU. Gradients cannot
be computed on them where there is no GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)

aten = torch.ops.aten

_ASKS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""What torch says of operations whose result the host has to know: a number, or how many there are."""
_CHECKS = {aten._linalg_check_errors.default}
_PLACES = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Operations that look for the places of a mask among their indices."""
_COPIES = {aten._to_copy.default, aten.copy_.default, aten.copy.default}


class Waits(TorchDispatchMode):
    """Notes in `found` what makes the host wait for the GPU, or copies between them, and the line that does it.

    A single number of the host that an operation of the GPU takes is no copy: it travels with the call. Operations of
    the host alone run with numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        here = [tensor for tensor in given if not tensor.is_cuda]
        if len(here) == len(given) and torch.device(kwargs.get("device") or "cpu").type != "cuda":
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        asks = len(here) < len(given) and _asks(func, args)
        if asks or any(tensor.ndim or func in _COPIES for tensor in here):
            self._note(func)
        if asks and (answer := _answer(func, given[0])) is not None:
            return answer
        result = func(*args, **kwargs)
        if len(here) < len(given) and not all(tensor.is_cuda for tensor in _tensors(result)):
            self._note(func)
        return result

    def _note(self, func: Any) -> None:
        told = f"{func} in {_line()}"
        if told not in self.found:
            self.found.append(told)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _asks(func: Any, args: Any) -> bool:
    """Whether an operation gives the host something to know."""
    if func in _PLACES:
        masked = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        return masked and not (len(args) > 2 and args[2].numel() == 1)  # which fills the places without looking
    return func in _CHECKS or any(tag in func.tags for tag in _ASKS)


def _answer(func: Any, asked: Tensor) -> bool | float | None:
    """A number for code that asks for one, so that it goes on."""
    if func is aten._local_scalar_dense.default:
        return 1.0 if asked.is_floating_point() else 1
    return True if func in (aten.equal.default, aten.allclose.default) else None


def _line() -> str:
    """The innermost line that is neither torch's nor this file's."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        path = frame.f_code.co_filename
        if "/site-packages/torch/" not in path and path != __file__:
            return f"{path.rpartition('/site-packages/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


@contextmanager
def absent_gpu() -> Iterator[FakeTensorMode]:
    """Inside, tensors may be made on `GPU`."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def on_gpu(value: Any) -> Any:
    """Tensors as they would be on that GPU, at any depth of containers; the tensors of a module are replaced."""
    if isinstance(value, nn.Module):
        _move(value, {})
        return value
    if isinstance(value, Tensor):
        return torch.empty_like(value, device=GPU).requires_grad_(value.requires_grad)
    return tree_map(on_gpu, value) if isinstance(value, dict | list | tuple) else value


def _move(module: nn.Module, known: dict[nn.Parameter, nn.Parameter]) -> None:
    """Module.to cannot exchange a tensor that several modules have. Also moves networks that are kept in tuples."""
    for part in module.modules():
        for name, old in list(part.named_parameters(recurse=False)):
            if old not in known:
                known[old] = nn.Parameter(on_gpu(old.detach()), old.requires_grad)
            part._parameters[name] = known[old]
        for name, buffer in list(part.named_buffers(recurse=False)):
            part._buffers[name] = on_gpu(buffer)
        for hidden in (each for kept in vars(part).values() if isinstance(kept, tuple) for each in kept):
            if isinstance(hidden, nn.Module):
                _move(hidden, known)


def waits_of(call: Callable[..., object], *given: Any) -> list[str]:
    """What waits in a call, and where."""
    with Waits() as mode:
        call(*given)
    return mode.found
