"""A small data set and its tasks for tests, brought in as a plug-in: by the path of this file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.degradation import DegradationTraits
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet, samples_of
from harness.core.identity import digest
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import BUILT_IN

TRAIN = ("a.1", "video/0001.png", "_under__", "ünï", "e", "f")
TEST = ("t.1", "t2")


class Small:
    """Six training and two test images of soft random blobs; their keys are as awkward as file names get."""

    traits = DatasetTraits(licence="made by the tests")

    def __init__(self, *, leak: str = "", empty: bool = False) -> None:
        self.leak, self.empty = leak, empty

    def splits(self) -> Sequence[str]:
        return ("train", "test")

    def fingerprint(self) -> str:
        return digest([self.leak, self.empty, *TRAIN, *TEST])

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        if self.empty:
            return []
        if self.leak == "scene":
            return [(key, "one") for key in (TRAIN if split == "train" else TEST)]
        return [(key, key) for key in (TRAIN if split == "train" else TEST)]

    def images(self, split: str) -> Iterator[SourceImage]:
        for number, (key, scene) in enumerate(self.keys(split)):
            yield SourceImage(key, scene, self._leaked(number) if split == "test" else blobs(number))

    def _leaked(self, number: int) -> np.ndarray:
        if self.leak == "exact" and number == 1:
            return blobs(3)
        if self.leak == "near" and number == 1:
            half = cv2.resize(blobs(3), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            return np.clip(half * 0.8 + 10, 0, 255).astype(np.uint8)
        return blobs(100 + number)


def blobs(number: int, height: int = 70, width: int = 90) -> np.ndarray:
    """A smooth random RGB picture."""
    coarse = np.random.default_rng(number).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


DEGRADATIONS = {
    "dark": PartRef(name="low_light"),
    "noisy": PartRef(name="gaussian_noise", options={"sigma": 25.0}, drawn=True),
    "shrunk": PartRef(name="shrink"),
    "paired": None,
}
"""What makes the inputs of each task. `noisy` is drawn at every draw, `shrunk` breaks the promise to keep the size, and
the data set of `paired` should bring the degraded images."""


class Shrink:
    """Cuts the image."""

    traits = DegradationTraits(quantised=True)

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean[:-2]


def registry() -> Registry:
    here = str(Path(__file__).resolve())
    plugins = [Entry("dataset", "small", f"{here}:Small"), Entry("degradation", "shrink", f"{here}:Shrink")]
    return Registry(BUILT_IN).extended(plugins)


def prepared(split: str = "train", task: str = "dark", **options: object) -> PreparedSet:
    """The set `small` as a task stores it: degraded images where those are fixed, else the clean ones. `options` go to
    the data set."""
    dataset = PartRef(name="small", options=options, digest=Small(**options).fingerprint())  # type: ignore[arg-type]
    return samples_of(dataset, PartRef(name=task, derived_from=DEGRADATIONS[task]), split).stored
