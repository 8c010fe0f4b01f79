"""Trees of tiny pictures under the names that a layout's examples give, and what a data set reads of them.

Every clean image is of one level of its own; the degraded ones of it are 100 levels brighter, and the right view one
more than the left one: so the pixels say which files were put together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from harness.api.source import Layout, Source
from harness.parts.catalogue import BUILT_IN
from harness.parts.shared.declared.base import Declared

SIZE = (10, 8)


def data_set(name: str, root: Path) -> Declared:
    """A data set of the catalogue, in a folder."""
    target = next(entry.target for entry in BUILT_IN if (entry.kind, entry.name) == ("dataset", name))
    module, _, cls = target.partition(":")
    made: Declared = getattr(import_module(module), cls)(root=str(root))
    return made


def source_of(name: str) -> Source:
    return data_set(name, Path()).facts


def layout_of(name: str, layout: str) -> Layout:
    return next(each for each in source_of(name).layouts if each.name == layout)


def picture(path: Path, level: int | tuple[int, int, int], deep: bool = False) -> None:
    """A picture of one level or of one RGB colour; `deep`: of 16 bits, of 256 times the level and 7."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = level if isinstance(level, tuple) else (level, level, level)
    pixels = np.tile(np.array(rgb[::-1], np.uint16), (*SIZE, 1))
    pixels = pixels * 256 + 7 if deep else pixels.astype(np.uint8)
    done, content = cv2.imencode(path.suffix.lower(), pixels)
    assert done
    path.write_bytes(content.tobytes())


def blocks(path: Path, levels: Sequence[Sequence[int]], side: int = 4) -> None:
    """A MATLAB file, N×M×side×side×3, of one level a block."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.broadcast_to(
        np.array(levels, np.uint8)[:, :, None, None, None], (len(levels), len(levels[0]), side, side, 3)
    )
    savemat(path, {path.stem: array})


def grow(root: Path, name: str, layout: str, marked: bool = True) -> list[str]:
    """The tree of a layout's examples. `marked`: as an example, whose numbers of images are not checked. Gives the
    paths of its files."""
    chosen = layout_of(name, layout)
    written: dict[str, int] = {}
    for split, samples in chosen.examples.items():
        files = chosen.splits[split]
        for sample in samples:
            *degraded, clean = sample if files.lq else ("", *sample)
            degraded = [path for path in degraded if path]
            if files.reader == "mat_blocks":
                blocks(root / clean, [[1, 2, 3], [4, 5, 6]])
                blocks(root / degraded[0], [[101, 102, 103], [104, 105, 106]])
                continue
            level = written.setdefault(clean, len(written) + 1)
            picture(root / clean, level, deep=name.startswith("dpdd"))
            for view, path in enumerate(degraded):
                picture(root / path, level + 100 + view, deep=name.startswith("dpdd"))
        for group in files.groups:
            (root / group.file).parent.mkdir(parents=True, exist_ok=True)
            places = range(len(samples))
            half = [place for place in places if (place < 2) == (group.name == "indoor")]
            np.save(root / group.file, np.array(half) + group.first)
    if marked:
        (root / "EXAMPLE.json").write_text("{}")
    return sorted(os.path.relpath(path, root) for path in root.rglob("*") if path.is_file())


def levels(found: Declared, split: str) -> dict[str, tuple[tuple[int, ...], int | None]]:
    """Of every key the levels of the degraded image (one a view) and of the clean one."""
    read = {}
    for image in found.images(split):
        lq = () if image.degraded is None else tuple(int(level) for level in image.degraded[0, 0, ::3])
        read[image.key] = (lq, None if image.pixels is None else int(image.pixels[0, 0, 0]))
    return read
