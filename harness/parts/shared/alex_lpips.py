"""LPIPS v0.1, by pyiqa: what the metric and the loss share."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

EPS = 1e-10


def build_network(linear: Path, net: Literal["alex", "vgg"] = "alex") -> nn.Module:
    """pyiqa's network, in evaluation mode: two batches of RGB images in [0, 1] to distances B.

    `linear`: the published file of its five linear layers. torchvision's AlexNet, or VGG16
    (`net`), is read from torch.hub's cache.
    Callers check both files first (`ready_files`), because pyiqa loads them with strict=False and would give numbers
    from random layers.
    """
    from pyiqa.archs import lpips_arch  # here, as this import takes seconds

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        network: nn.Module = lpips_arch.LPIPS(net=net, version="0.1", pretrained_model_path=str(linear))
    return network


def absolute_distance(network: Any, first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
    """LPIPS with the absolute differences of features in place of the squared ones, of images in [−1, 1], B."""
    pairs = (network.net(network.scaling_layer(image_BCHW)) for image_BCHW in (first_BCHW, second_BCHW))
    total = first_BCHW.new_zeros(len(first_BCHW))
    for linear, first, second in zip(network.lins, *pairs, strict=True):
        total = total + linear((_unit(first) - _unit(second)).abs()).mean((1, 2, 3))
    return total


def _unit(features_BChw: Tensor) -> Tensor:
    """Features of length one at each position."""
    return features_BChw / (torch.linalg.vector_norm(features_BChw, dim=1, keepdim=True) + EPS)
