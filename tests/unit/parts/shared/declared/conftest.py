"""Folders of pictures in the layouts of data sets that these tests declare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from harness.api.dataset import DatasetTraits
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared
from harness.parts.shared.pictures import looks


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


def source(*layouts: Layout, counts: dict[str, Count] | None = None) -> Source:
    return Source(
        title="Toy-1",
        page="https://toy.example/page",
        citation="Toy et al.",
        size="a few images",
        layouts=layouts,
        counts=counts or {},
        tasks=("low_light",),
        protocol="rgb_uint8",
    )


def layout(name: str = "official", *, inside: tuple[str, ...] = (), **splits: Files) -> Layout:
    return Layout(name=name, of="the authors", splits=splits, inside=inside)


def opened(root: Path | None, *layouts: Layout, counts: dict[str, Count] | None = None) -> Declared:
    class Toy(Declared):
        traits = DatasetTraits(pairs=True, random_access=True, skips=True, source=source(*layouts, counts=counts))

    return Toy(None if root is None else str(root))


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files below one folder, and gives it: bytes as they are, numbers as flat pictures of that level, arrays
    as pictures."""

    def written(files: dict[str, Any]) -> Path:
        root = tmp_path / "data"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
                continue
            pixels = np.full((6, 8, 3), content, np.uint8) if isinstance(content, int) else content
            if path.suffix == ".npy":
                np.save(path, pixels)
            else:
                path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        root.mkdir(exist_ok=True)
        return root

    return written
