"""Stand-ins for the parameters of metrics without reference, which no repository may carry: random numbers in the
published files' formats. What is tested with them are code paths, never values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from tests.unit.parts.conftest import LINEAR

STATISTICS = 36


def niqe_file(folder: Path) -> Path:
    """Mean and covariance, as BasicSR's file has them."""
    drawn = np.random.default_rng(0)
    root = drawn.normal(size=(STATISTICS, STATISTICS))
    file = folder / "niqe.npz"
    mean, covariance = drawn.normal(1, 0.3, (1, STATISTICS)), root @ root.T / STATISTICS + np.eye(STATISTICS)
    np.savez(file, mu_pris_param=mean, cov_pris_param=covariance, gaussian_window=np.ones((7, 7)) / 49)
    return file


def machine() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and support vectors, with as many digits as the text file has."""
    drawn = np.random.default_rng(1)
    return np.round(drawn.normal(0, 30, 50), 3), np.round(drawn.uniform(-1, 1, (50, STATISTICS)), 6)


def brisque_file(folder: Path) -> Path:
    """A support-vector machine, as libsvm writes it; zeros are left out, as it does."""
    coefficients, vectors = machine()
    vectors[3, 7] = 0.0
    head = ["svm_type epsilon_svr", "kernel_type rbf", "gamma 0.05", "nr_class 2", "total_sv 50", "rho -153.591", "SV"]
    rows = [
        " ".join([f"{weight:g}", *(f"{place}:{value:g}" for place, value in enumerate(row, 1) if value)])
        for weight, row in zip(coefficients, vectors, strict=True)
    ]
    file = folder / "allmodel"
    file.write_text("\n".join([*head, *rows]) + "\n")
    return file


class Features(nn.Module):
    """VGG16's convolutions with random weights, without the layers behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"])


def random_vgg16(*_: Any, **__: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Features()


def vgg_linear_file(folder: Path) -> Path:
    """LPIPS's linear layers on VGG16."""
    file = folder / "vgg.pth"
    channels = (64, 128, 256, 512, 512)
    torch.manual_seed(0)
    torch.save({key: torch.rand(1, n, 1, 1) / n for key, n in zip(LINEAR, channels, strict=True)}, file)
    return file
