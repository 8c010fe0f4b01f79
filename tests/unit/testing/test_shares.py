"""The contract of backbones catches those that train otherwise where several processes share a batch."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.parts.ops.whole_batch import drawn, mean_of_group
from harness.testing.backbone import BackboneContract

TOGETHER = "the result: 4 images in one process, and in 2 that share them.*`drawn` and `mean_of_group`"


class Habits(nn.Module):
    """A network with one habit."""

    traits = BackboneTraits(licence="MIT", paper="none")

    def __init__(self, *, habit: str) -> None:
        super().__init__()
        self.capabilities = Capabilities()
        self.habit = habit
        self.enter, self.leave = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        layers: dict[str, nn.Module] = {
            "batch norm": nn.BatchNorm2d(4),
            "dropout": nn.Dropout(0.3),
            "alpha dropout": nn.AlphaDropout(0.3),
            "instance norm": nn.InstanceNorm2d(4, track_running_stats=True),
            "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)),
        }
        self.layer = layers.get(habit, nn.Identity())
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(F.gelu(self.enter(x)))
        if self.training:
            h = self.changed(h, x)
        return x + self.leave(h)

    def changed(self, h: Tensor, x: Tensor) -> Tensor:
        match self.habit:
            case "branch":
                return 2 * h if float(x.mean()) > 0.1 else h
            case "functional dropout":
                return F.dropout(h, 0.3)
            case "noise":
                return h + torch.randn_like(h)
            case "noise of the batch":
                return h + drawn(h, torch.randn_like)
            case "python":
                return h * (1 + random.random())
            case "numpy":
                return h * (1 + float(np.random.rand()))
            case "batch mean":
                return h - h.mean((0, 2, 3), keepdim=True)
            case "mean of the batch":
                return h - mean_of_group(h)
            case "level" | "level of the batch":
                mean = x.mean() if self.habit == "level" else mean_of_group(x)
                self.get_buffer("level").lerp_(mean.detach(), 0.1)
        return h


def shared(habit: str) -> None:
    class Case(BackboneContract):
        def make(self) -> Habits:
            return Habits(habit=habit)

    Case().test_shares_of_a_batch_train_as_the_whole()


@pytest.mark.parametrize(
    "habit",
    [
        "none",
        "batch norm",
        "dropout",
        "alpha dropout",
        "spectral norm",
        "noise of the batch",
        "mean of the batch",
        "level of the batch",
    ],
)
def test_what_goes_by_the_whole_batch_keeps_its_promise(habit: str) -> None:
    shared(habit)


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ("branch", TOGETHER),
        ("functional dropout", TOGETHER),
        ("noise", TOGETHER),
        ("batch mean", TOGETHER),
        ("python", "it draws from Python's global generator"),
        ("numpy", "it draws from NumPy's global generator"),
        ("level", "the buffer level follows the images that its process has"),
        ("instance norm", "the buffer layer.running_mean follows the images that its process has"),
    ],
)
def test_what_goes_by_a_share_is_caught(habit: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        shared(habit)
