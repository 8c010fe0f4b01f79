"""Stand-ins for published weights, shared with the tests of single parts."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import alexnet, vgg16, vgg19

from tests.small_vgg import small_vgg
from tests.unit.parts.conftest import LINEAR, Publish, publish

__all__ = ["publish", "random_lpips", "random_lpips_network", "vgg16_file", "vgg19_file"]


@pytest.fixture(scope="session")
def random_lpips_network(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """pyiqa's network with weights that no file gave it; made once, as that takes seconds."""
    from pyiqa.archs import lpips_arch

    linear = tmp_path_factory.mktemp("lpips") / "linear.pth"
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(lpips_arch.models, "alexnet", lambda weights: alexnet(weights=None))  # it would fetch them
        torch.manual_seed(0)
        torch.save({key: torch.rand(shape) / shape[1] for key, shape in LINEAR.items()}, linear)
        network: nn.Module = lpips_arch.LPIPS(net="alex", pretrained_model_path=str(linear))
    return network.eval()


@pytest.fixture
def random_lpips(random_lpips_network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("losses", "metrics"):
        monkeypatch.setattr(f"harness.parts.{kind}.lpips.ready_files", lambda *part: (Path(), Path()))
        monkeypatch.setattr(f"harness.parts.{kind}.lpips.build_network", lambda *given: deepcopy(random_lpips_network))


@pytest.fixture
def vgg16_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish) -> None:
    _stand_in("vgg16", partial(small_vgg, vgg16), tmp_path, monkeypatch, publish)


@pytest.fixture
def vgg19_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish) -> None:
    _stand_in("vgg19", partial(small_vgg, vgg19), tmp_path, monkeypatch, publish)


def _stand_in(
    name: str, build: Callable[..., nn.Module], folder: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setattr(f"harness.parts.losses.vgg.{name}", build)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        publish(f"{name}/imagenet", build().state_dict())
