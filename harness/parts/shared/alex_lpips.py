"""LPIPS v0.1 with AlexNet, by pyiqa: what the metric and the loss share."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from torch import nn


def build_network(linear: Path) -> nn.Module:
    """pyiqa's network, in evaluation mode: two batches of RGB images in [0, 1] to distances B.

    `linear`: the published file of its five linear layers. torchvision's AlexNet is read from torch.hub's cache.
    Callers check both files first (`ready_files`), because pyiqa loads them with strict=False and would give numbers
    from random layers.
    """
    from pyiqa.archs import lpips_arch  # here, as this import takes seconds

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        network: nn.Module = lpips_arch.LPIPS(net="alex", version="0.1", pretrained_model_path=str(linear))
    return network
