"""An HRNet small enough for tests, written to disk as the authors write theirs."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.parts.refiners.skf.hrnet import HRNet
from harness.testing import checks

CLASSES = 5
CHANNELS = (4, 6, 8, 10)


def build() -> HRNet:
    """Weights that are always the same, with norms that have seen something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HRNet(classes=CLASSES, channels=CHANNELS, modules=(1, 2, 1), blocks=1)
        checks.stir(network)
        with torch.no_grad():
            network(torch.rand(2, 3, 64, 64))
    return network.eval()


def write(folder: Path) -> dict[str, str]:
    """Writes the weights; gives the options of the refiner `skf`."""
    path = folder / "tiny_hrnet.pth"
    state = {f"model.{key}": value for key, value in build().state_dict().items()}
    torch.save({**state, "loss.criterion.weight": torch.ones(CLASSES)}, path)
    return {"checkpoint": str(path)}
