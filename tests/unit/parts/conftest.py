"""Stand-ins for published files that are not there in tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.core.identity import file_sha256
from harness.parts import alex_lpips

LINEAR = {f"lin{level}.model.1.weight": (1, channels, 1, 1) for level, channels in enumerate((64, 192, 384, 256, 256))}


@pytest.fixture
def no_lpips_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which torch.hub looks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def lpips_files(no_lpips_files: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """Random files of the published layout, with their digests as known; what is in them by name."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    contents = {
        alex_lpips.ALEXNET: alexnet(weights=None).state_dict(),
        alex_lpips.LINEAR: {key: torch.rand(shape) / shape[1] for key, shape in LINEAR.items()},
    }
    for file, content in zip(alex_lpips.weight_files(), contents.values(), strict=True):
        path = Path(file.path)
        path.parent.mkdir(parents=True)
        torch.save(content, path)
        monkeypatch.setitem(alex_lpips.SHA256, path.name, file_sha256(path))
    return contents
