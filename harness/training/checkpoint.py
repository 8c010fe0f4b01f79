"""Training checkpoints that a killed run goes on from, on any number of processes, however these divide the training.

`<checkpoint>/step-00000200/` appears whole or not at all, and holds:

- `model.safetensors`: the state dict of the assembled model, whole tensors
- `training.pt`: the optimizer's state by the names of the parameters, average of the weights, adversaries, gradient
  scaler, random states of every rank, data position, the loss since the last log line (torch.save, read back with
  weights_only, so that no file can run code)
- `manifest.json`: format, step, the SHA-256 of the two, the digests of the data and weights that training rests on;
  sealed

The last two are kept: a damaged newest one falls back to the one before. Rank 0 of a job alone calls what stands here.
On the same number of processes, each of which holds all weights, training goes on bit for bit.
"""

from __future__ import annotations

import io
import pickle
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.core.errors import HarnessError
from harness.core.identity import file_sha256, sealed, unsealed
from harness.core.outlast import outlast
from harness.core.paths import atomic_folder, remove_away, write_bytes, write_json
from harness.models.weights import save_tensors
from harness.storage.outgoing import checkpointed

KEPT = 2
FORMAT = 2
"""Of `training.pt`. Others are read by no present code."""
_FOLDER = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint whose files are whole, and the damaged newer ones that were passed over."""

    step: int
    state: dict[str, Any]
    folder: Path
    made_of: Mapping[str, str]
    """Digests of the data and weights that it was trained from."""
    damaged: tuple[str, ...] = ()
    format: int = FORMAT

    def misfit(self, made_of: Mapping[str, str]) -> str | None:
        """Why training cannot go on from it, in words: its form, or what it was trained from, which is another now."""
        if self.format != FORMAT:
            return "it was written by another release, in a form that this one does not read"
        differs = sorted(name for name in {*self.made_of, *made_of} if self.made_of.get(name) != made_of.get(name))
        return f"it was trained from other {', '.join(differs)}" if differs else None


def write_checkpoint(
    root: Path, step: int, model: Mapping[str, Tensor], state: dict[str, Any], made_of: Mapping[str, str]
) -> None:
    """Writes a step's folder and drops all but the last two.

    `model`: its state dict, whole. `state` holds tensors, numbers, strings and containers of them. `made_of`: digests,
    by name, of the data and weights that training rests on. Raises HarnessError (kind `storage`).
    """
    packed = io.BytesIO()
    torch.save(state, packed)
    with atomic_folder(root / f"step-{step:08d}") as folder:
        model_sha256 = save_tensors(model, folder / "model.safetensors")
        write_bytes(folder / "training.pt", packed.getvalue())
        files = {"model.safetensors": model_sha256, "training.pt": file_sha256(folder / "training.pt")}
        manifest = {"format": FORMAT, "step": step, "files": files, "made_of": dict(made_of)}
        write_json(folder / "manifest.json", sealed(manifest))
    for old in _folders(root)[KEPT:]:
        remove_away(old)
    checkpointed()


def find_checkpoint(root: Path) -> FoundCheckpoint | None:
    """The newest whole checkpoint; None when there is none at all. Damaged newer ones are deleted.

    Raises HarnessError (kind `checkpoint`) when there are some and all are damaged: training anew over them is the
    user's decision.
    """
    damaged: list[tuple[Path, str]] = []
    for folder in _folders(root):
        try:
            manifest, state = _read(folder)
        except (OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            damaged.append((folder, f"{folder.name}: {error}"))
            continue
        for other, _ in damaged:
            remove_away(other)
        said = tuple(reason for _, reason in damaged)
        made_of, form = manifest.get("made_of") or {}, manifest.get("format", 1)
        return FoundCheckpoint(manifest["step"], state, folder, made_of, said, form)
    if damaged:
        raise HarnessError(
            "every training checkpoint is damaged (" + "; ".join(reason for _, reason in damaged) + ")",
            where=str(root),
            hint="delete this folder to train the cell from the start",
            kind="checkpoint",
        )
    return None


def read_model(found: FoundCheckpoint) -> dict[str, Tensor]:
    """The state dict of a checkpoint's model."""
    return load_file(found.folder / "model.safetensors")


def drop_checkpoints(root: Path) -> None:
    """Removes the step folders and the remains of killed writes, once the final weights and the record are written."""
    for folder in _folders(root):
        remove_away(folder)
    for left in root.glob(".step-*.tmp"):
        remove_away(left)


def _folders(root: Path) -> list[Path]:
    try:
        every = outlast(lambda: list(root.iterdir()), root)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((path for path in every if _FOLDER.fullmatch(path.name)), reverse=True)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the state."""
    manifest = unsealed(outlast((folder / "manifest.json").read_bytes, folder)).content
    for name in ("model.safetensors", "training.pt"):
        if file_sha256(folder / name) != manifest["files"][name]:
            raise ValueError(f"{name} is not what the manifest says")
    if folder.name != f"step-{manifest['step']:08d}":
        raise ValueError(f"the manifest is of step {manifest['step']}")
    state: dict[str, Any] = torch.load(folder / "training.pt", map_location="cpu", weights_only=True)
    return manifest, state


def random_state() -> dict[str, Any]:
    """This process's generators (Python, NumPy, torch, every CUDA device) as tensors and plain values."""
    numpy_state = np.random.get_state(legacy=True)
    assert isinstance(numpy_state, tuple)
    _, keys, *rest = numpy_state
    return {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Puts the generators back where `random_state` found them."""
    random.setstate(state["python"])
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
