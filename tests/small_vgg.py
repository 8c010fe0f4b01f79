"""VGG's layers with few channels, in place of its published weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def small_vgg(build: Callable[..., Any], weights: Any = None) -> nn.Module:
    """A sixteenth of VGG's channels, in its order."""
    with torch.device("meta"):
        full = build(weights=None).features
    layers: list[nn.Module] = []
    for layer in full:
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.Conv2d(max(3, layer.in_channels // 16), layer.out_channels // 16, 3, padding=1))
        else:
            layers.append(nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else nn.MaxPool2d(2))
    network = nn.Module()
    network.features = nn.Sequential(*layers)
    return network
