"""Reads a trained HRNet from a file, whatever its widths, depths and classes: the tensors' shapes tell them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from harness.core.errors import DataError
from harness.parts.refiners.skf.hrnet import HRNet

PREFIX = "model."
"""What stands before the network's entries in the authors' files, beside those of their training loss."""
COUNTER = "num_batches_tracked"
"""Norms of old PyTorch versions lack it; evaluation never reads it."""


def read_hrnet(path: Path) -> HRNet:
    """The network in evaluation mode, float32, without gradients; draws no random numbers.

    The file is the authors' (`torch.save`; only plain tensors are unpickled) or a `.safetensors` of the same entries.
    Raises DataError (kind `weights`) when it is damaged or holds another network.
    """
    state = _entries(path)
    try:
        with torch.device("meta"):
            network = HRNet(
                classes=len(state["last_layer.3.weight"]),
                channels=tuple(len(state[f"stage4.0.branches.{n}.0.conv1.weight"]) for n in range(4)),
                modules=tuple(_count(state, f"stage{n}.") for n in (2, 3, 4)),
                blocks=_count(state, "layer1."),
            )
        counters = {key: torch.zeros((), dtype=torch.long) for key in network.state_dict() if key.endswith(COUNTER)}
        network.load_state_dict(counters | state, assign=True)
    except (KeyError, RuntimeError) as error:
        what = f"is not an HRNet for segmentation ({str(error).splitlines()[-1].strip()})"
        raise DataError(what, where=str(path), hint="HRNetV2 with four branches, no OCR", kind="weights") from error
    return network.float().eval().requires_grad_(False)


def _entries(path: Path) -> dict[str, Tensor]:
    """The network's tensors by name."""
    # What the unpickler raises on bytes that are no pickle depends on the bytes.
    unreadable = (RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError)
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
            content = content.get("state_dict", content)
        state = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    except (*unreadable, SafetensorError, pickle.UnpicklingError) as error:
        what = f"is damaged or not a file of tensors alone ({type(error).__name__})"
        raise DataError(what, where=str(path), hint="fetch it again", kind="weights") from error
    own = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    return own or state


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules there are below a name."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})
