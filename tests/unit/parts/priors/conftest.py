"""A tiny CLIP and a tile for the tests of what it sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from skimage import data

from tests.tiny_clip import write


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of the prior `clip` that name the tiny one's files."""
    return {**write(tmp_path_factory.mktemp("clip"))}


@pytest.fixture(scope="module")
def tile() -> torch.Tensor:
    """1×3×64×64, in [0, 1]."""
    return torch.from_numpy(data.astronaut()[:64, 100:164].copy()).permute(2, 0, 1)[None].float() / 255
