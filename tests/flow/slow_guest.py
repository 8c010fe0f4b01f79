"""A guest whose degradation says which process it runs in and can be held up, for the tests of the workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.api.parts import SourceImage, Task
from harness.api.reference import PartRef
from harness.tasks.protocols import RGB_UINT8


class Specks:
    """One training and one test image of noise."""

    licence = "made by the tests"

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


class Held:
    """Adds a line `pid cpus visible-GPUs` to the file `note`, then waits for the file `until`."""

    quantised = True

    def __init__(self, *, note: str = "", until: str = "") -> None:
        self.note, self.until = note, until

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        with open(self.note, "a", encoding="utf-8") as handle:
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
            handle.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {gpus!r}\n")
        while self.until and not Path(self.until).exists():
            time.sleep(0.02)
        return clean


def held(*, note: str = "", until: str = "") -> Task:
    """Restore what was held up."""
    return Task("held", PartRef(name="held", options={"note": note, "until": until}), RGB_UINT8)


CATALOGUE = (("dataset", "specks", "Specks"), ("degradation", "held", "Held"), ("task", "held", "held"))
