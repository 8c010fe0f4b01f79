"""The frozen network behind the perceptual loss."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import vgg19

RELU_INDICES = (1, 6, 11, 20, 29)
"""relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 in torchvision's `features`."""
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class FeatureDistance(nn.Module):
    """Weighted L1 distance of five feature maps of VGG-19 (Simonyan & Zisserman), loaded from a state dict file."""

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path, reduction: Literal["mean", "sum"]) -> None:
        super().__init__()
        network = vgg19(weights=None)
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        layers = network.features[: RELU_INDICES[-1] + 1]
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the map of the stage before is still compared
        starts = (0, *(index + 1 for index in RELU_INDICES[:-1]))
        self.stages = nn.ModuleList(layers[a : b + 1] for a, b in zip(starts, RELU_INDICES, strict=True))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.reduction = reduction
        self.requires_grad_(False).eval()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """Images in [0, 1], normalised here as ImageNet's, to a scalar."""
        restored = (restored_BCHW - self.mean) / self.std
        truth = (truth_BCHW.detach() - self.mean) / self.std
        total = restored.new_zeros(())
        for stage, weight in zip(self.stages, LAYER_WEIGHTS, strict=True):
            restored, truth = stage(restored), stage(truth)
            total = total + weight * nn.functional.l1_loss(restored, truth, reduction=self.reduction)
        return total
