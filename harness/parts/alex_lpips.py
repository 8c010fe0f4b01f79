"""LPIPS v0.1 with AlexNet: its two published files, where torchvision and pyiqa cache them, and pyiqa's network.

What the metric and the loss share. Torch-free until the network is built.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from harness.api.parts import WeightFile
from harness.core.hub import hub_file, verify_weights

ALEXNET = "alexnet-owt-7be5be79.pth"
LINEAR = "LPIPS_v0.1_alex-df73285e.pth"
FETCH = {ALEXNET: "bench weights fetch alexnet/imagenet", LINEAR: "bench weights fetch lpips/alex-v0.1"}
SHA256 = {
    ALEXNET: "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    LINEAR: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
}


def weight_files() -> tuple[WeightFile, ...]:
    """torchvision's ImageNet AlexNet and the five linear layers."""
    return tuple(WeightFile(f"lpips {name}", str(_path(name)), FETCH[name], SHA256[name]) for name in SHA256)


def build_network() -> Any:
    """pyiqa's network, in evaluation mode: two batches of RGB images in [0, 1] to distances B.

    Both files are checked by hash, because pyiqa loads them with strict=False and would score with random layers.
    Raises MissingWeights without them, DataError when one differs.
    """
    for name, sha256 in SHA256.items():
        verify_weights(_path(name), sha256, fetch=FETCH[name])
    from pyiqa.archs import lpips_arch

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        return lpips_arch.LPIPS(net="alex", version="0.1", pretrained_model_path=str(_path(LINEAR)))


def _path(name: str) -> Path:
    return hub_file("checkpoints" if name == ALEXNET else "pyiqa", name)
