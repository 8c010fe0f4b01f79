"""Weights on disk: written whole with their digest, read only when sound and made for the module at hand."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256 as hash_bytes
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from harness.core.errors import DataError, FailureClass
from harness.core.identity import file_sha256
from harness.core.paths import write_bytes
from harness.models.readings import fill_from
from harness.parts.shared.formats import Entry, read_entries, refuse_special


def save_weights(module: nn.Module, path: Path) -> str:
    """Writes the module's state dict as safetensors, atomically; gives the file's SHA-256.

    Raises HarnessError (kind `storage`) when it cannot be written.
    """
    return save_tensors(module.state_dict(), path)


def save_tensors(state: Mapping[str, Tensor], path: Path) -> str:
    """The same of a state dict."""
    # Cloned: safetensors refuses tensors that share memory.
    whole = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
    content = save(whole)  # Not save_file: it reports a full disk as an error of its own, not as an OSError.
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

    Published checkpoints load too: the weights are found beside anything else and under any leading parts of names
    (harness.models.readings), and names are translated and entries left out as the module's `official` says, where it
    has one (harness.api.weights).
    With `strict`, every parameter must be in the file; without, whatever fits is loaded, but shapes must still agree.
    Raises DataError of `kind` (`weights` for files that the user brought, whose values must also be finite) when the
    file is missing, damaged, not the one with that digest, or made for another module; the module is then untouched.
    """
    found = file_digest(path, kind=kind)
    if sha256 is not None and sha256 != found:
        hint = "bench run SUITE makes it again" if kind == "checkpoint" else "run again: it has changed meanwhile"
        raise DataError(f"has SHA-256 {found}, expected {sha256}", where=str(path), hint=hint, kind=kind)
    fill_from(module, read_entries(path, kind=kind), where=str(path), strict=strict, kind=kind)
    return found


def file_digest(path: Path, *, kind: FailureClass = "checkpoint") -> str:
    """SHA-256 of a weights file. Raises DataError when it cannot be read, or is a pipe or a device."""
    refuse_special(path, kind)
    try:
        return file_sha256(path)
    except OSError as error:
        hint = "give the path of a file that is there and may be read"
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint=hint, kind=kind) from error


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    where: str,
    strict: bool = True,
    kind: FailureClass = "checkpoint",
) -> None:
    """Copies a state dict into the module, as `load_weights` says."""
    fill_from(module, [Entry("", dict(state))], where=where, strict=strict, kind=kind)
