"""Data sets that keep their promises, or break one. They stand here alone, as their module may not import torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.core.errors import DataError
from harness.core.identity import digest


class Good:
    """Two splits of flat images."""

    traits = DatasetTraits()

    def __init__(self) -> None:
        self.names = {"train": ["a", "b"], "test": ["c"]}

    def splits(self) -> Sequence[str]:
        return tuple(self.names)

    def fingerprint(self) -> str:
        return digest(self.names)

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(name, name) for name in self.names[split]]

    def images(self, split: str) -> Iterator[SourceImage]:
        for key, scene in self.keys(split):
            yield SourceImage(key, scene, np.full((8, 9, 3), ord(key[0]), np.uint8))


class Twice(Good):
    traits = DatasetTraits()

    def __init__(self) -> None:
        self.names = {"train": ["a", "a"], "test": ["c"]}


class Wanders(Good):
    """Its order is another one each time."""

    traits = DatasetTraits()
    drawn = Random(0)

    def __init__(self) -> None:
        self.names = {"train": [*"abcdefghijkl"], "test": ["x"]}

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        pairs = list(super().keys(split))
        self.drawn.shuffle(pairs)
        return pairs


class Leaks(Good):
    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(key, "everywhere") for key, _ in super().keys(split)]


class Floats(Good):
    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()

    def images(self, split: str) -> Iterator[SourceImage]:
        for image in super().images(split):
            yield SourceImage(image.key, image.scene, image.pixels / np.float64(255))


class Swaps(Good):
    """Gives its images in another order than their keys."""

    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()

    def images(self, split: str) -> Iterator[SourceImage]:
        return iter([*super().images(split)][::-1])


class Noisy(Good):
    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()

    def images(self, split: str) -> Iterator[SourceImage]:
        for image in super().images(split):
            yield SourceImage(image.key, image.scene, np.random.default_rng().integers(0, 255, (8, 8, 3), np.uint8))


class Undeclared(Good):
    """Brings degraded images without a word of it."""

    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()

    def images(self, split: str) -> Iterator[SourceImage]:
        for image in super().images(split):
            yield replace(image, degraded=image.pixels)


class Paired(Good):
    """Pairs, of which chosen ones can be read; one clean image for all of a split."""

    traits = DatasetTraits(pairs=True, random_access=True, skips=True)

    def __init__(self) -> None:
        super().__init__()

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(name, split) for name in self.names[split]]

    def images(self, split: str) -> Iterator[SourceImage]:
        for image in super().images(split):
            clean = np.full((8, 9, 3), len(split), np.uint16)
            yield replace(image, pixels=clean, degraded=image.pixels, truth="clean")

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        images = {image.key: image for image in self.images(split)}
        for key in keys:
            if key not in images:
                raise DataError(f"there is no {key!r}")
            yield images[key]

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        return [("lq/x.png", "it is empty")]


class Blinks(Paired):
    """Degraded images that are drawn anew."""

    traits = DatasetTraits(pairs=True)

    def __init__(self) -> None:
        super().__init__()

    def images(self, split: str) -> Iterator[SourceImage]:
        for image in super().images(split):
            yield replace(image, degraded=np.random.default_rng().integers(0, 256, (8, 9, 3), np.uint8))


class TwoTruths(Paired):
    """Two clean images of one name."""

    traits = DatasetTraits(pairs=True)

    def __init__(self) -> None:
        super().__init__()

    def images(self, split: str) -> Iterator[SourceImage]:
        for image in super().images(split):
            yield replace(image, pixels=image.degraded)


class Picks(Paired):
    """Gives the chosen images in an order of its own."""

    traits = DatasetTraits(pairs=True, random_access=True)

    def __init__(self) -> None:
        super().__init__()

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        return super().images_at(split, sorted(keys))


class TakesAnyKey(Paired):
    traits = DatasetTraits(pairs=True, random_access=True)

    def __init__(self) -> None:
        super().__init__()

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        return super().images_at(split, [key for key in keys if key in self.names[split]])


class TellsThePlace(Paired):
    traits = DatasetTraits(pairs=True, skips=True)

    def __init__(self) -> None:
        super().__init__()

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        return [(str(Path("lq/x.png").absolute()), "it is empty")]


class GivesNoReason(Paired):
    traits = DatasetTraits(pairs=True, skips=True)

    def __init__(self) -> None:
        super().__init__()

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        return [("lq/x.png", "")]


class Hashes(Good):
    """Its fingerprint is Python's hash of texts, which another process draws anew."""

    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()

    def fingerprint(self) -> str:
        return str(hash(repr(self.names)))


class Where(Good):
    """Its fingerprint knows where it was made."""

    traits = DatasetTraits()

    def __init__(self, *, folder: str = "") -> None:
        super().__init__()
        self.folder = folder or str(Path.cwd())

    def fingerprint(self) -> str:
        return digest(self.folder)


class Positional(Good):
    traits = DatasetTraits()

    def __init__(self, folder: str = "", *, side: int = 3) -> None:
        super().__init__()


class Elsewhere(Good):
    """Its traits are another object than the one that is read."""

    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()


def _change(part: type[Elsewhere]) -> None:
    """Out of sight of whoever reads the source."""
    part.traits = DatasetTraits(version=2)


_change(Elsewhere)
