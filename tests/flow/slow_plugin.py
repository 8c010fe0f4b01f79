"""A plug-in whose degradation says which process it runs in and can be held up, for the tests of the workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.degradation import DegradationTraits
from harness.api.task import TaskTraits


class Specks:
    """One training and one test image of noise."""

    traits = DatasetTraits(licence="made by the tests")

    def __init__(self, *, number: int = 0) -> None:
        self.number = number

    def splits(self) -> Sequence[str]:
        return ("train", "test")

    def fingerprint(self) -> str:
        return f"specks-{self.number}"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(split, split)]

    def images(self, split: str) -> Iterator[SourceImage]:
        random = np.random.default_rng([self.number, split == "test"])
        yield SourceImage(split, split, random.integers(0, 256, (64, 64, 3), dtype=np.uint8))


class Hold:
    """Adds a line `pid cpus visible-GPUs held-or-free` to the file `note`, then waits for the file `until`."""

    traits = DegradationTraits(quantised=True)

    def __init__(self, *, note: str = "", until: str = "") -> None:
        self.note, self.until = note, until
        self.noted = False

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        if self.noted:  # an image is degraded again, to see that it comes out equal
            return clean
        self.noted = True
        with open(self.note, "a", encoding="utf-8") as handle:
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
            handle.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {gpus!r} {'held' if self.until else 'free'}\n")
        while self.until and not Path(self.until).exists():
            time.sleep(0.02)
        return clean


class Held:
    """Restore what was held up."""

    traits = TaskTraits(degradation="hold", options=("note", "until"), protocol="rgb_uint8")


CATALOGUE = (("dataset", "specks", "Specks"), ("degradation", "hold", "Hold"), ("task", "held", "Held"))
