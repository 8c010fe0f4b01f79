"""The data set `my_part`: say here whose images these are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.ranges import Pixels
from harness.api.traits import FromOption
from harness.core.errors import DataError
from harness.core.identity import digest


class MyPart:
    """Pictures of coloured waves, made up here. (This line is shown by `bench list datasets`.)

    Option `side`: of the pictures, in pixels.
    """

    # The notice goes into the manifest of everything that is prepared from the images.
    # This module imports no torch at its top: planning asks for the fingerprint.
    # `shortest_side` lets `bench check` refuse patches that no image holds: a number, an option, or left out.
    # `pairs=True` goes with `SourceImage(key, scene, pixels, degraded)`, for degraded images of its own.
    # `random_access=True` goes with `images_at`: several jobs then prepare a large set side by side.
    traits = DatasetTraits(licence="made up, free for all", shortest_side=FromOption("side"), random_access=True)

    def __init__(self, *, side: Pixels = 128) -> None:
        # Picture files need no class: the data set `folder` reads them. For other files: an option `file: LocalFile`, a
        # path that suites give relative to themselves.
        self.side = side
        self.numbers = {"train": range(8), "test": range(100, 104)}

    def splits(self) -> Sequence[str]:
        return tuple(self.numbers)

    def fingerprint(self) -> str:
        """Of the content: names and sizes, or a list of digests; never paths or times."""
        return digest([self.side, *map(list, self.numbers.values())])

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) of every image in a fixed order. Images of one scene, such as frames, stay in one split."""
        if split not in self.numbers:
            raise DataError(f"there is no split {split!r}", hint=", ".join(self.numbers))
        return [(f"wave{number}", f"wave{number}") for number in self.numbers[split]]

    def images(self, split: str) -> Iterator[SourceImage]:
        """The images, in the order of the keys: H×W×3, or H×W×1 for gray; uint8, uint16, or float32 with white at 1."""
        return self.images_at(split, [key for key, _ in self.keys(split)])

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        """The images of these keys alone, in their order."""
        numbers = {f"wave{number}": number for number in self.numbers[split]}
        for key in keys:
            if key not in numbers:
                raise DataError(f"there is no image {key!r} in {split}")
            yield SourceImage(key, key, self._picture(numbers[key]))

    def _picture(self, number: int) -> np.ndarray:
        random = np.random.default_rng(number)
        y, x = np.mgrid[: self.side, : self.side] / self.side
        waves = [
            np.sin(2 * np.pi * (down * y + right * x + shift)) for down, right, shift in random.uniform(-4, 4, (3, 3))
        ]
        return np.rint(127.5 + 127.5 * np.stack(waves, axis=2)).astype(np.uint8)


CATALOGUE = (("dataset", "my_part", "MyPart"),)
