"""Reads a trained HRNet from a file, whatever its widths, depths and classes: the tensors' shapes tell them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.core.errors import DataError
from harness.parts.refiners.skf.hrnet import HRNet
from harness.parts.shared.formats import read_checkpoint

PREFIX = "model."
"""What stands before the network's entries in the authors' files, beside those of their training loss."""
COUNTER = "num_batches_tracked"
"""Norms of old PyTorch versions lack it; evaluation never reads it."""


def read_hrnet(path: Path) -> HRNet:
    """The network in evaluation mode, float32, without gradients; draws no random numbers.

    The file is the authors' (`torch.save`; only plain tensors are unpickled) or a `.safetensors` of the same entries.
    Raises DataError (kind `weights`) when it is missing, damaged or holds another network.
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
    state = read_checkpoint(path, kind="weights")
    own = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    return own or state


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules there are below a name."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})
