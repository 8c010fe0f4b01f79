"""Trees of small files of one level each, and which of them a data set puts together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from harness.api.source import Layout
from harness.parts.shared.declared.base import Declared
from tests.unit.parts.datasets.field_tree import data_set, source_of

Pairs = dict[str, tuple[str, str, str | None]]
"""Of every key: its scene, the file of the degraded image, and that of the clean one."""

SIZE = (6, 10)


def plant(root: Path, paths: Iterable[str]) -> dict[int, str]:
    """Files whose every pixel is one level: which file has which level."""
    levels = dict(enumerate(sorted(set(paths)), start=1))
    for level, path in levels.items():
        write(root / path, np.full((*SIZE, 3), level, np.uint8))
    return levels


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix in (".png", ".jpg"):
        done, content = cv2.imencode(path.suffix, pixels)
        assert done
        path.write_bytes(content.tobytes())
    else:
        path.write_bytes(b"raw")


def example(root: Path, layout: Layout) -> dict[int, str]:
    levels = plant(root, (path for samples in layout.examples.values() for sample in samples for path in sample))
    (root / "EXAMPLE.json").write_text("{}")
    return levels


def pairs(found: Declared, split: str, levels: dict[int, str]) -> Pairs:
    """What a split reads: the levels of the pixels say from which files."""
    return {
        image.key: (
            image.scene,
            levels[_level(image.degraded)],
            None if image.pixels is None else levels[_level(image.pixels)],
        )
        for image in found.images(split)
    }


def _level(pixels: np.ndarray | None) -> int:
    assert pixels is not None
    assert pixels.shape == (*SIZE, 3)
    return round(float(pixels.mean()))  # JPEG


def grow(root: Path, name: str, *more: str) -> tuple[Declared, dict[int, str]]:
    """The examples of the first layout and more files, as an example."""
    layout = source_of(name).layouts[0]
    written = [path for samples in layout.examples.values() for sample in samples for path in sample]
    levels = plant(root, [*written, *more])
    (root / "EXAMPLE.json").write_text("{}")
    return data_set(name, root), levels
