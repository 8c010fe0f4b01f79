"""The formats in which weights are published: what is in a file, found without running any code that lies in it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from harness.core.errors import DataError, FailureClass

State = dict[str, Tensor]

WRAPPERS = ("params_ema", "state_dict_ema", "model_ema", "params", "state_dict", "model")
"""Keys under which published checkpoints hide the state dict beside other things, the preferred first."""

CONVERT = "in a place where you trust it, load it with weights_only=False and save its state dict as safetensors"


@dataclass(frozen=True)
class CheckpointFile:
    """A state dict, the keys that led to it inside its file, and those beside it that hold weights too."""

    state: State
    entry: str = ""
    others: tuple[str, ...] = ()


def read_checkpoint(path: Path, *, kind: FailureClass = "checkpoint") -> CheckpointFile:
    """Tensors by name of a safetensors or PyTorch file (zip or older), on the CPU.

    PyTorch's files may be a bare state dict, or hold one under any of WRAPPERS, averaged weights (`…_ema`) before
    others, or under the only key that has one. Optimizer states, counters and texts beside it are left out.

    Raises DataError when the file is missing, damaged, holds something else, or could only be read by running what
    lies in it: a TorchScript archive, or a pickle with other classes than PyTorch's own.
    """
    unreadable = (OSError, EOFError, SafetensorError, UnpicklingError, RuntimeError, ValueError, LookupError, TypeError)
    try:
        if _is_safetensors(path):
            return CheckpointFile(load_file(path))
        if is_torchscript(path):
            what = "is a TorchScript archive, which can run code when it is loaded"
            raise DataError(what, where=str(path), hint=CONVERT, kind=kind)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except unreadable as error:
        text = str(error)
        foreign = re.search(r"GLOBAL (\S+)", text)
        if isinstance(error, UnpicklingError) and foreign:
            what = f"needs the code of {foreign[1]} to be read, and a pickle that calls code can do anything"
            raise DataError(what, where=str(path), hint=CONVERT, kind=kind) from error
        # PyTorch's own first line advises to read the file in the unsafe way.
        told = re.search(r"WeightsUnpickler error:\s*(\S.*)", text) or re.search(r"(\S.*)", text)
        what = f"is damaged or not a file of weights ({told[1] if told else type(error).__name__})"
        hint = "download it again" if kind == "weights" else "remove it and run again"
        raise DataError(what, where=str(path), hint=hint, kind=kind) from error
    return _unwrapped(content, "", str(path), kind)


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its content: the length of a header, then the header, which is JSON."""
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as handle:
        start = handle.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with TorchScript code in it, which can run when it is loaded."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _unwrapped(content: Any, entry: str, where: str, kind: FailureClass) -> CheckpointFile:
    """The state dict in what was read; `entry` are the keys that led here."""
    if not isinstance(content, Mapping) or not content:
        raise DataError("holds something other than tensors by name", where=where, kind=kind)
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping) and _has_weights(value)}
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and isinstance(key, str)}
    known = [key for key in WRAPPERS if key in inner]
    # Of several tensors beside one state dict it could not be said which is meant; one may be the loss.
    chosen = known or (list(inner) if len(tensors) <= 1 else [])
    if known or len(chosen) == 1:
        found = _unwrapped(inner[chosen[0]], _joined(entry, chosen[0]), where, kind)
        others = [_joined(entry, key) for key in inner if key != chosen[0]]
        return CheckpointFile(found.state, found.entry, (*others, *found.others))
    if inner:
        names = ", ".join(_joined(entry, key) for key in [*inner, *tensors][:4])
        hint = "save the one that you want as a file of its own"
        raise DataError(f"holds weights in several places: {names}", where=where, hint=hint, kind=kind)
    if not tensors:
        raise DataError("holds something other than tensors by name", where=where, kind=kind)
    return CheckpointFile(tensors, entry)


def _has_weights(value: Mapping[Any, Any]) -> bool:
    """Whether tensors by name are somewhere in it that are no optimizer's state."""
    if "param_groups" in value:
        return False
    return any(
        isinstance(item, Tensor) or (isinstance(item, Mapping) and _has_weights(item)) for item in value.values()
    )


def _joined(entry: str, key: object) -> str:
    return f"{entry}.{key}" if entry else str(key)
