"""The formats in which weights are published: what is in a file, found without running any code that lies in it."""

from __future__ import annotations

import os
import re
import stat
import struct
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
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

WRAPPERS = ("params", "state_dict", "model")
"""Keys under which published checkpoints hide the state dict beside other things, the preferred first."""

AVERAGED = re.compile(r"(^|_)(ema|swa|avg|average|averaged)(_|$)")
"""Keys that name averaged weights: `ema`, `params_ema`, `ema_state_dict`, `generator_ema`, `swa_model`, …"""

OPTIMISER = re.compile(
    r"(^|_)(optim(?!al|um|i[sz]ed)|opt_?states?|lr_sched|scheduler|scaler)|optimi[sz]er"
    r"|exp_(avg|inf)|(square|grad)_avg|acc_delta|momentum_buffer"
)
"""Keys below which lie no weights: the state of optimizers, schedules and loss scalers, and an optimizer's moments."""

LONGEST = 120
"""Characters of a name that a message shows."""

DEPTH = 8
"""How many keys may lead to a state dict; a pickle may also hold itself."""

CONVERT = "in a place where you trust it, load it with weights_only=False and save its state dict as safetensors"

UNPACK = "unpack it and pack it again without compression (zip -0), or save its state dict as safetensors"

NUMPY = (
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
"""What a pickle names to hold NumPy's numbers and arrays, which trainers put beside the weights (the best PSNR)."""


@dataclass(frozen=True)
class Entry:
    """A state dict inside a file, and the keys that lead to it, joined by dots; empty for the file itself."""

    name: str
    state: State
    named: bool = True
    """Whether its tensors have names. An average that is a list has none: messages name it, and it cannot be read."""

    @property
    def averaged(self) -> bool:
        return is_averaged(self.name)

    @property
    def rank(self) -> tuple[bool, int]:
        """By which entries are preferred, the smallest first: averaged ones, then the usual keys in their order."""
        known = [WRAPPERS.index(key) for key in self.name.split(".") if key in WRAPPERS]
        return not self.averaged, min(known, default=len(WRAPPERS))


def is_averaged(name: str) -> bool:
    """Whether one of the keys of a dotted name says that the weights are an average over training steps."""
    return any(AVERAGED.search(part) and not OPTIMISER.search(part) for part in name.lower().split("."))


def is_optimisers(name: str) -> bool:
    """Whether one of the keys of a dotted name says that what lies below it is kept for training, and no weights."""
    return any(OPTIMISER.search(part) for part in name.lower().split("."))


def with_dots(names: Collection[str], own: Collection[str]) -> Mapping[str, str]:
    """The names of an average that have lost their dots → the same with those of the live weights, or of `own` names.

    So `model_ema.bodyweight` beside `model.body.weight`, as latent diffusion's trainers keep it (LitEma of
    CompVis/latent-diffusion, ldm/modules/ema.py). None where live names differ in their dots alone.
    """
    dotless: dict[str, set[str]] = defaultdict(set)
    averages = {top for name in names if is_averaged(top := name.partition(".")[0])}
    for name in names:
        top, _, rest = name.partition(".")
        if f"{top}_ema" in averages:
            dotless[f"{top}_ema.{rest.replace('.', '')}"].add(rest)
    for name in own:
        for top in averages:
            dotless[f"{top}.{name.replace('.', '')}"].add(name)
    return {
        name: f"{name.partition('.')[0]}.{next(iter(live))}"
        for name in names
        if len(live := dotless.get(name, set())) == 1
    }


def shown(name: str, longest: int = LONGEST) -> str:
    """A name as a message shows it: on one line, and cut where it is very long."""
    line = name if name.isprintable() else name.encode("unicode_escape").decode()
    return line if len(line) <= longest else f"{line[:longest]}…"


def some(names: Sequence[str], limit: int = 3) -> str:
    """A list as a message shows it, on one line."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(shown, names[:limit])) + more


def read_checkpoint(path: Path, *, kind: FailureClass = "checkpoint") -> State:
    """Tensors by name of a safetensors or PyTorch file (zip or older), on the CPU.

    PyTorch's files may be a bare state dict, or hold one under an averaged key (`…_ema`), under any of WRAPPERS, or
    under the only key that has one. Optimizer states, counters and texts beside it are left out.

    Raises as `read_entries`, and DataError where it is not clear which of several state dicts is meant.
    """
    found = read_entries(path, kind=kind)
    entries = [entry for entry in found if any(tensor.ndim for tensor in entry.state.values())] or list(found)
    entries = [entry for entry in entries if entry.named]
    best = min(entry.rank for entry in entries)
    first = [entry for entry in entries if entry.rank == best]
    if len(first) > 1:
        told = some([entry.name or f"{next(iter(entry.state))}, …" for entry in entries], 4)
        hint = "save the one that you want as a file of its own"
        raise DataError(f"holds weights in several places: {told}", where=str(path), hint=hint, kind=kind)
    return first[0].state


def read_entries(path: Path, *, kind: FailureClass = "checkpoint") -> tuple[Entry, ...]:
    """Every state dict in a safetensors or PyTorch file, on the CPU, in the file's order; at least one.

    Raises DataError when the file is missing, no regular file, damaged, holds something else, unpacks to more than its
    own size, or could only be read by running what lies in it: a TorchScript archive, or a pickle with other classes
    than PyTorch's own and NumPy's numbers.
    """
    refuse_special(path, kind)
    content = _content(path, kind)
    entries = tuple(_entries(content, (), frozenset())) if isinstance(content, Mapping) else ()
    if not any(entry.named for entry in entries):
        what = "holds something other than tensors by name"
        hint = "save the state dict of the network: torch.save(network.state_dict(), FILE)"
        raise DataError(what, where=str(path), hint=hint, kind=kind)
    if nested := [name for entry in entries for name, tensor in entry.state.items() if tensor.is_nested]:
        what = f"{some(nested)} is nested, not a plain tensor"  # it has no shape to compare
        raise DataError(what, where=str(path), hint="save it as plain float32 numbers", kind=kind)
    return entries


def refuse_special(path: Path, kind: FailureClass) -> None:
    """Raises DataError for pipes, sockets and devices, of which reading may never end."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # whoever opens it says why it cannot be read
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = "is a named pipe" if stat.S_ISFIFO(mode) else "is a socket" if stat.S_ISSOCK(mode) else "is a device"
        hint = "give the path of a regular file"
        raise DataError(f"{what}, not a file of weights", where=str(path), hint=hint, kind=kind)


class _Nothing:
    """Stands for each of NUMPY while a pickle is read: no code of NumPy's runs on what lies in the file."""

    def __init__(self, *given: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


UNREADABLE = (
    OSError,
    EOFError,
    SafetensorError,
    UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
)
"""All that reading a file of random bytes can raise."""


def _content(path: Path, kind: FailureClass) -> Any:
    """What a file holds, as plain objects and tensors."""
    try:
        if _is_safetensors(path):
            return load_file(path)
        _refuse_archive(path, kind)
        with torch.serialization.safe_globals([(_Nothing, name) for name in NUMPY]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old and new protocols: it can be read or not
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        text = str(error)
        foreign = re.search(r"GLOBAL (\S+)", text)
        if isinstance(error, UnpicklingError) and foreign:
            what = f"needs the code of {shown(foreign[1])} to be read, and a pickle that calls code can do anything"
            raise DataError(what, where=str(path), hint=CONVERT, kind=kind) from error
        # PyTorch's own first line advises to read the file in the unsafe way.
        told = re.search(r"WeightsUnpickler error:\s*(\S.*)", text) or re.search(r"(\S.*)", text)
        why = _other_kind(path) or (shown(told[1], 400) if told else "") or "empty or cut off"
        what = f"is damaged or not a file of weights ({why})"
        hint = "download it again" if kind == "weights" else "remove it and run again"
        raise DataError(what, where=str(path), hint=hint, kind=kind) from error


def _other_kind(path: Path) -> str:
    """What a text is that servers send in place of a file; empty for anything else."""
    try:
        with open(path, "rb") as handle:
            start = handle.read(99).lstrip().lower()
    except OSError:
        return ""
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, which `git lfs pull` turns into the file"
    return "a web page" if start.startswith((b"<!doctype html", b"<html")) else ""


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its content: the length of a header, then the header, which is JSON."""
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as handle:
        start = handle.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with TorchScript code in it, which can run when it is loaded."""
    return any(_has_code(member.filename) for member in _members(path))


def _has_code(name: str) -> bool:
    return name.endswith("/constants.pkl") or "/code/" in name


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """What is in a zip archive; nothing for another file."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()


def _refuse_archive(path: Path, kind: FailureClass) -> None:
    """Raises DataError for zip archives that are not PyTorch's own kind of file, which holds its members as they are.

    Others can unpack to any size.
    """
    members = _members(path)
    names = [member.filename for member in members]
    hint = CONVERT
    if any(map(_has_code, names)):
        what = "is a TorchScript archive, which can run code when it is loaded"
    elif members and not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        what, hint = f"is an archive of other files: {some(names)}", "unpack it, and name the file of weights in it"
    elif packed := [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]:
        what, hint = f"is a compressed archive ({some(packed)}), which PyTorch does not write", UNPACK
    elif (size := sum(member.file_size for member in members)) > path.stat().st_size:
        what, hint = f"says that it holds {size:,} bytes, more than its own size", "download it again"
    else:
        return
    raise DataError(what, where=str(path), hint=hint, kind=kind)


def _entries(content: Mapping[Any, Any], keys: tuple[str, ...], above: frozenset[int]) -> Iterator[Entry]:
    """The state dicts at and below a mapping, which `keys` led to; those of optimizers are none."""
    if "param_groups" in content or is_optimisers(".".join(keys)) or len(keys) > DEPTH or id(content) in above:
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and isinstance(key, str)}
    if tensors:
        yield Entry(".".join(keys), tensors)
    for key, value in content.items():
        below = (*keys, str(key))
        if isinstance(value, Mapping):
            yield from _entries(value, below, above | {id(content)})
        elif isinstance(value, list | tuple) and is_averaged(".".join(below)):
            averages = {str(n): item for n, item in enumerate(value) if isinstance(item, Tensor)}
            yield from [Entry(".".join(below), averages, named=False)] * bool(averages)
