"""The frozen networks behind the perceptual losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import vgg16, vgg19

RELU_INDICES = (1, 6, 11, 20, 29)
"""relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 in torchvision's `features`."""
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's colours."""

RELU5_1_OF_16 = 25
LAST_POOL_OF_16 = 23
NORM_EPS = 1e-5


class FeatureDistance(nn.Module):
    """Weighted L1 distance of five feature maps of VGG-19 (Simonyan & Zisserman), loaded from a state dict file."""

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path, reduction: Literal["mean", "sum"], *, normalise: bool = True) -> None:
        super().__init__()
        layers = _layers(vgg19, path)
        starts = (0, *(index + 1 for index in RELU_INDICES[:-1]))
        self.stages = nn.ModuleList(layers[a : b + 1] for a, b in zip(starts, RELU_INDICES, strict=True))
        mean, std = (MEAN, STD) if normalise else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.reduction = reduction
        self.requires_grad_(False).eval()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """Images in [0, 1], with `normalise` brought to ImageNet's colours here, to a scalar."""
        restored = (restored_BCHW - self.mean) / self.std
        truth = (truth_BCHW.detach() - self.mean) / self.std
        total = restored.new_zeros(())
        for stage, weight in zip(self.stages, LAYER_WEIGHTS, strict=True):
            restored, truth = stage(restored), stage(truth)
            total = total + weight * nn.functional.l1_loss(restored, truth, reduction=self.reduction)
        return total


class SelfFeatures(nn.Module):
    """VGG-16's relu5_1 (Simonyan & Zisserman), with unit variance and zero mean in each channel of each image.

    Loaded from a state dict file. The last pooling is left out, so that a patch of 32 pixels has 4×4 features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers = _layers(vgg16, path)
        kept = [layer for place, layer in enumerate(layers[: RELU5_1_OF_16 + 1]) if place != LAST_POOL_OF_16]
        self.layers = nn.Sequential(*kept)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Images in [0, 1], at least 8×8, normalised here as ImageNet's, to B×512×H/8×W/8."""
        features: Tensor = self.layers((image_BCHW - self.mean) / self.std)
        variance, mean = torch.var_mean(features, (2, 3), correction=0, keepdim=True)
        return (features - mean) * torch.rsqrt(variance + NORM_EPS)


def _layers(build: Callable[..., Any], path: Path) -> nn.Sequential:
    """The convolutional half, on maps that are not overwritten: those of a stage before are still compared."""
    network = build(weights=None)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    layers: nn.Sequential = network.features
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return layers
