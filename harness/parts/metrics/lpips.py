"""Learned perceptual distance, through pyiqa. Torch-free until an instance is made."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.parts import EvaluationProtocol, WeightFile
from harness.core.hub import hub_file, verify_weights

VERSION = 1

ALEXNET = "alexnet-owt-7be5be79.pth"
LINEAR = "LPIPS_v0.1_alex-df73285e.pth"
FETCH = {ALEXNET: "bench weights fetch alexnet/imagenet", LINEAR: "bench weights fetch lpips/alex-v0.1"}
SHA256 = {
    ALEXNET: "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    LINEAR: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
}


class LPIPS:
    """LPIPS v0.1 with AlexNet, Zhang et al., CVPR 2018; always on RGB, whatever the protocol's colour.

    Both files are checked by hash, because pyiqa loads them with strict=False and would score with random layers.
    Raises MissingWeights without them, DataError when one differs.
    """

    name = "lpips"
    higher_is_better = False
    unit = ""
    decimals = 4

    @staticmethod
    def weights() -> tuple[WeightFile, ...]:
        """torchvision's ImageNet AlexNet and the five linear layers, where torchvision and pyiqa cache them."""
        return tuple(WeightFile(f"lpips {name}", str(_path(name)), FETCH[name], SHA256[name]) for name in SHA256)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        for name, sha256 in SHA256.items():
            verify_weights(_path(name), sha256, fetch=FETCH[name])
        self.protocol = protocol
        self._network = _build(str(_path(LINEAR)))

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a distance ≥ 0. Runs on the CPU."""
        import torch

        with torch.inference_mode():
            distance: float = self._network(_tensor(restored), _tensor(truth)).item()
        return distance


def _path(name: str) -> Path:
    return hub_file("checkpoints" if name == ALEXNET else "pyiqa", name)


def _build(linear: str) -> Any:
    from pyiqa.archs import lpips_arch

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        return lpips_arch.LPIPS(net="alex", version="0.1", pretrained_model_path=linear)


def _tensor(image_HW3: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(image_HW3 / 255).float().permute(2, 0, 1)[None]
