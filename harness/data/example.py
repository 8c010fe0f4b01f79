"""Examples of data sets of the field: small trees with the real names, to try suites before the download.

Their pixels are crops of the photographs that ship with the packages (data set `photos`): training images of its
training photographs, those of the other splits of its test photographs, so that no two splits show one photograph.
Whatever is trained or tested on them is called `(example)` (harness.api.reference.EXAMPLE).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from harness.api.asking import opened
from harness.api.dataset import DatasetTraits
from harness.api.declaration import declaration
from harness.api.source import Files, Layout, Source
from harness.api.task import PROTOCOLS
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.identity import file_sha256, seed
from harness.core.paths import atomic_folder, storage_error, write_json
from harness.core.registry import Registry
from harness.data.example_files import Picture, write_blocks, write_picture
from harness.data.example_inputs import Degrade, degrading
from harness.data.images import images_of

MARKER = "EXAMPLE.json"
SHORT = 160
"""Pixels of the shorter side of an example."""
BLOCKS, BLOCK = (2, 2), 256
"""Scenes, and images of each, of a MATLAB file of blocks; pixels of their sides."""
_TRIES = 40


@dataclass(frozen=True)
class _Example:
    """One sample: the paths of its files."""

    lq: tuple[str, ...]
    gt: str | None

    @property
    def truth(self) -> str:
        """What samples of one clean image have in common."""
        return self.gt or self.lq[0]


def write_example(registry: Registry, name: str, to: Path, layout: str | None = None) -> Path:
    """Writes an example of a data set in one of its layouts (None: the first), and gives the folder.

    The same call writes the same files everywhere. The folder appears whole or not at all. Raises UnknownName for a
    name or a layout that is not known, HarnessError when the folder is there and not empty (kind `suite`) or cannot be
    written (kind `storage`).
    """
    source = _source(registry, name)
    chosen = _layout(source, layout, name)
    _check_free(to)
    photographs = _photographs(registry, chosen)
    work = _Work(name, source, degrading(registry, source))
    with atomic_folder(to) as folder:
        try:
            for split, files in chosen.splits.items():
                work.write(folder, split, files, _examples(chosen, split), photographs[split])
        except OSError as error:
            raise storage_error(error, to) from error
        write_json(folder / MARKER, {**_marker(registry, name, source, chosen), "files": _digests(folder)})
    return to


def _source(registry: Registry, name: str) -> Source:
    traits = declaration(registry, "dataset", name).traits
    if traits.source is None:
        hint = "bench list datasets shows those of the field"
        raise UnknownName(f"{name} is no data set of the field, and has no examples", hint=hint)
    return traits.source


def _layout(source: Source, asked: str | None, name: str) -> Layout:
    with_examples = {layout.name: layout for layout in source.layouts if layout.examples}
    if not with_examples:
        raise UnknownName(f"{source.title} declares no examples", where=f"data set {name}")
    if asked is None:
        return next(iter(with_examples.values()))
    if asked not in with_examples:
        hint = did_you_mean(asked, with_examples) or f"it has {', '.join(with_examples)}"
        raise UnknownName(f"{source.title} has no layout {asked!r}", where=f"data set {name}", hint=hint)
    return with_examples[asked]


def _check_free(to: Path) -> None:
    try:
        taken = os.path.lexists(to) and (not to.is_dir() or any(to.iterdir()))
    except OSError as error:
        raise storage_error(error, to) from error
    if taken:
        what = "this folder is not empty" if to.is_dir() else "this is no folder"
        raise HarnessError(what, where=str(to), hint="--to a new folder")


def _examples(layout: Layout, split: str) -> list[_Example]:
    """The samples that a layout names. Raises HarnessError (kind `plugin`) where they do not fit its files."""
    files = layout.splits[split]
    inputs = 0 if not files.lq else 2 if files.views else 1
    found = []
    for paths in layout.examples.get(split, ()):
        places = [PurePosixPath(path) for path in paths]
        safe = all(not place.is_absolute() and ".." not in place.parts for place in places)
        if len(paths) != inputs + bool(files.gt) or not safe:
            what = f"the example {paths} of {split} is not what the layout {layout.name} has of a sample"
            raise HarnessError(what, hint="the degraded files, then the clean one", kind="plugin")
        found.append(_Example(paths[:inputs], paths[-1] if files.gt else None))
    if not found:
        raise HarnessError(f"the layout {layout.name} has no example of {split}", kind="plugin")
    return found


def _photographs(registry: Registry, layout: Layout) -> dict[str, list[np.ndarray]]:
    """The photographs of every split: no two splits have one in common."""
    photos = opened(registry, "photos", {})
    held = {split: [image.pixels for image in images_of(photos, split, "photos")] for split in ("train", "test")}
    others = [split for split in layout.splits if split != "train"]
    if len(others) > len(held["test"]):
        raise HarnessError(f"the layout {layout.name} has more splits than there are photographs", kind="plugin")
    found = {split: held["test"][place :: len(others)] for place, split in enumerate(others)} | {"train": held["train"]}
    return {split: [each for each in given if each is not None] for split, given in found.items()}


def _marker(registry: Registry, name: str, source: Source, layout: Layout) -> dict[str, str]:
    photos = declaration(registry, "dataset", "photos").traits
    assert isinstance(photos, DatasetTraits)
    return {
        "dataset": name,
        "layout": layout.name,
        "what": f"Crops of photographs that ship with scikit-image and scikit-learn, named as in {source.title}. "
        "No picture is of that data set: all tables call what is trained or tested on it (example).",
        "licence": photos.licence,
    }


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 by path of all files: by them examples are told from the download that was unpacked among them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


@dataclass
class _Work:
    """What all splits of an example share."""

    name: str
    source: Source
    degrade: Degrade

    def write(
        self, folder: Path, split: str, files: Files, examples: Sequence[_Example], photographs: Sequence[np.ndarray]
    ) -> None:
        if files.reader == "mat_blocks":
            self._write_blocks(folder, split, examples[0], photographs)
            return
        truths = list(dict.fromkeys(example.truth for example in examples))
        crops = dict(zip(truths, self._crops(split, photographs, len(truths), self._size()), strict=True))
        deep = files.bits == 8 or files.views
        gray = not files.gray and PROTOCOLS[self.source.protocol].colour == "gray"
        for example in examples:
            clean = crops[example.truth]
            if example.gt is not None:
                write_picture(folder / example.gt, Picture(clean, deep, gray))
            for view, path in enumerate(example.lq):
                random = np.random.default_rng(seed("example", self.name, split, example.lq[0]))
                side = (-1, 1)[view] if files.views else 0
                write_picture(folder / path, Picture(self.degrade(clean, random, side), deep, gray))
        for group in (each for each in files.groups if each.file):
            places = [number for number, name in self._grouped(files, truths) if name == group.name]
            _write_numbers(folder / group.file, [group.first + place for place in places])

    def _write_blocks(self, folder: Path, split: str, example: _Example, photographs: Sequence[np.ndarray]) -> None:
        """One MATLAB file a side, with the images of the split."""
        crops = list(self._crops(split, photographs, BLOCKS[0] * BLOCKS[1], (BLOCK, BLOCK)))
        if example.gt is not None:
            write_blocks(folder / example.gt, crops, BLOCKS)
        for path in example.lq:
            random = np.random.default_rng(seed("example", self.name, split, path))
            write_blocks(folder / path, [self.degrade(crop, random, 0) for crop in crops], BLOCKS)

    def _size(self) -> tuple[int, int]:
        """Height and width with the aspect of the field's images, as far as it is declared."""
        said = re.search(r"(\d{2,})×(\d{2,})", self.source.size)
        height, width = self.source.resize or ((int(said[2]), int(said[1])) if said else (2, 3))
        scale = SHORT / min(height, width)
        return min(round(height * scale), 2 * SHORT), min(round(width * scale), 2 * SHORT)

    def _crops(
        self, split: str, photographs: Sequence[np.ndarray], count: int, size: tuple[int, int]
    ) -> Iterator[np.ndarray]:
        """Crops H×W×3 float32 in [0, 1], of one photograph after the other; of one photograph, far from each other."""
        random = np.random.default_rng(seed("example", self.name, split))
        taken: list[list[np.ndarray]] = [[] for _ in photographs]
        for number in range(count):
            photograph, before = photographs[number % len(photographs)], taken[number % len(photographs)]
            room = np.array(photograph.shape[:2]) - size
            tries = random.integers(0, np.maximum(room, 0) + 1, (_TRIES, 2))
            far = [min((float(np.abs(place - other).max()) for other in before), default=0.0) for place in tries]
            before.append(tries[int(np.argmax(far))])
            top, left = before[-1]
            yield photograph[top : top + size[0], left : left + size[1]].astype(np.float32) / 255

    def _grouped(self, files: Files, truths: Sequence[str]) -> Iterator[tuple[int, str]]:
        """(place in the order of names, group) of every sample: as many of each group as can be."""
        names = [group.name for group in files.groups]
        for place in range(len(truths)):
            yield place, names[place * len(names) // len(truths)]


def _write_numbers(path: Path, numbers: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.array(numbers))
    else:
        path.write_text("".join(f"{number}\n" for number in numbers))
