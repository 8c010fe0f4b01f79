"""Learned perceptual distance, through pyiqa. Torch-free until an instance is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.api.parts import EvaluationProtocol, WeightFile
from harness.parts import alex_lpips

VERSION = 1


class LPIPS:
    """LPIPS v0.1 with AlexNet, Zhang et al., CVPR 2018; always on RGB, whatever the protocol's colour.

    Raises MissingWeights without its two files, DataError when one differs.
    """

    name = "lpips"
    higher_is_better = False
    unit = ""
    decimals = 4

    @staticmethod
    def weights() -> tuple[WeightFile, ...]:
        """torchvision's ImageNet AlexNet and the five linear layers, where torchvision and pyiqa cache them."""
        return alex_lpips.weight_files()

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        self._network = alex_lpips.build_network()

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a distance ≥ 0. Runs on the CPU."""
        import torch

        with torch.inference_mode():
            distance: float = self._network(_tensor(restored), _tensor(truth)).item()
        return distance


def _tensor(image_HW3: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(image_HW3 / 255).float().permute(2, 0, 1)[None]
