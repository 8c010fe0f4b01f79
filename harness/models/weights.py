"""Weights on disk: written whole with their digest, read only when sound and made for the module at hand."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256 as hash_bytes
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from harness.api.weights import OfficialNames, Renamed
from harness.core.errors import DataError, FailureClass
from harness.core.identity import file_sha256
from harness.core.paths import write_bytes
from harness.parts.shared.formats import State, read_checkpoint

COUNTER = "num_batches_tracked"
"""The last part of the names of batch normalisation's counters, which have no effect on results here."""


def save_weights(module: nn.Module, path: Path) -> str:
    """Writes the module's state dict as safetensors, atomically; gives the file's SHA-256.

    Raises HarnessError (kind `storage`) when it cannot be written.
    """
    # Cloned: safetensors refuses tensors that share memory.
    state = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in module.state_dict().items()}
    content = save(state)  # Not save_file: it reports a full disk as an error of its own, not as an OSError.
    write_bytes(path, content)
    return hash_bytes(content).hexdigest()


def load_weights(
    module: nn.Module,
    path: Path,
    *,
    sha256: str | None = None,
    strict: bool = True,
    kind: FailureClass = "checkpoint",
) -> str:
    """Fills the module from a safetensors file or a PyTorch checkpoint of plain tensors; gives the file's SHA-256.

    Published checkpoints load too: leading parts that all names share (`module.`, `net.`) are dropped where the module
    lacks them, and names are translated and entries left out as the module's `official` says, where it has one
    (harness.api.weights).
    With `strict`, every parameter must be in the file and nothing else; without, whatever fits is loaded, but shapes
    must still agree. Raises DataError of `kind` (`weights` for files that the user brought) when the file is missing,
    damaged, not the one with that digest, or made for another module; the module is then untouched.
    """
    found = file_digest(path, kind=kind)
    if sha256 is not None and sha256 != found:
        raise DataError(f"has SHA-256 {found}, expected {sha256}", where=str(path), hint="fetch it again", kind=kind)
    fill(module, read_state(path, kind=kind), where=str(path), strict=strict, kind=kind)
    return found


def file_digest(path: Path, *, kind: FailureClass = "checkpoint") -> str:
    """SHA-256 of a weights file. Raises DataError when it cannot be read."""
    try:
        return file_sha256(path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), kind=kind) from error


def read_state(path: Path, *, kind: FailureClass = "checkpoint") -> State:
    """State dict of a `.safetensors` file or a PyTorch file, as `read_checkpoint` says; raises the same."""
    return read_checkpoint(path, kind=kind).state


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    where: str,
    strict: bool = True,
    kind: FailureClass = "checkpoint",
) -> None:
    """Copies a state dict into the module, as `load_weights` says."""
    own = module.state_dict()
    state = _as_own(module, state, own.keys())
    # Files from before PyTorch 0.4.1 have no such counters; the module keeps its own.
    missing = sorted(key for key in own.keys() - state.keys() if not key.endswith(COUNTER))
    extra = sorted(state.keys() - own.keys())
    shapes = [
        f"{key} {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if state[key].shape != own[key].shape
    ]
    wrong = {"differs in shape at": shapes}
    if strict:
        wrong |= {"lacks": missing, "has the unknown": extra}
    details = "; ".join(f"{what} {_some(keys)}" for what, keys in wrong.items() if keys)
    if details:
        what = f"was made for another {type(module).__name__}: {details}"
        raise DataError(what, where=where, hint="use the options that it was trained with", kind=kind)
    module.load_state_dict(state, strict=strict)


def _as_own(module: nn.Module, state: Mapping[str, Tensor], own: AbstractSet[str]) -> State:
    """The state under the module's names; as many leading parts are dropped as give the most of these names."""
    official = module.official if isinstance(module, Renamed) else OfficialNames()
    extras = official.extras - own
    readings = []
    bare: Mapping[str, Tensor] | None = state
    while bare is not None:
        renamed = rename(bare, official.parts)
        readings.append({key: tensor for key, tensor in renamed.items() if key not in extras})
        bare = _without_prefix(bare)
    return max(readings, key=lambda reading: len(reading.keys() & own))


def _without_prefix(state: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    """The state without the leading part that all its names share; None when there is none."""
    shared = {key.partition(".")[0] for key in state}
    if len(shared) != 1 or not all("." in key for key in state):
        return None
    return {key.partition(".")[2]: tensor for key, tensor in state.items()}


def rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> State:
    """Translates each dotted part of every key by the table; parts that become empty vanish."""
    return {".".join(filter(None, (names.get(part, part) for part in key.split(".")))): state[key] for key in state}


def _some(keys: list[str], limit: int = 3) -> str:
    return ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
