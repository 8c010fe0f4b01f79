"""Stand-ins for published files that are not there in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.core.identity import file_sha256
from harness.weights import files
from harness.weights.catalogue import Checkpoint, find

Publish = Callable[[str, Mapping[str, Tensor]], Path]

ALEXNET, LPIPS = "alexnet/imagenet", "lpips/alex-v0.1"
LINEAR = {f"lin{level}.model.1.weight": (1, channels, 1, 1) for level, channels in enumerate((64, 192, 384, 256, 256))}


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Writes a state dict where the published weights of an id lie, with its digest as the known one."""
    known: dict[str, str] = {}

    def found(name: str) -> Checkpoint:
        return replace(find(name), sha256=known[name]) if name in known else find(name)

    def write(name: str, content: Mapping[str, Tensor]) -> Path:
        path = find(name).path
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)
        known[name] = file_sha256(path)
        return path

    monkeypatch.setattr(files, "find", found)
    return write


@pytest.fixture
def no_lpips_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which torch.hub looks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def lpips_files(no_lpips_files: Path, publish: Publish) -> dict[str, dict[str, Tensor]]:
    """Random files of the published layout, with their digests as known; what is in them by id."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    contents = {
        ALEXNET: alexnet(weights=None).state_dict(),
        LPIPS: {key: torch.rand(shape) / shape[1] for key, shape in LINEAR.items()},
    }
    for name, content in contents.items():
        publish(name, content)
    return contents
