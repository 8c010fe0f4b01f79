"""Plug-ins for the tests of evaluations in parts: many small pictures, and a metric that kills its process once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.metric import MetricTraits

KILLED = Path(__file__).with_name("killed")
"""Is there when the kill is over."""
NUMBERS = {"train": 4, "test": 150}
MARK = 255


class Many:
    """Pictures of noise; the 120th of the test split begins with a mark."""

    traits = DatasetTraits(licence="made by the tests", random_access=True)

    def splits(self) -> Sequence[str]:
        return tuple(NUMBERS)

    def fingerprint(self) -> str:
        return "many"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(f"{number:03d}", f"{split}{number}") for number in range(NUMBERS[split])]

    def images(self, split: str) -> Iterator[SourceImage]:
        return self.images_at(split, [key for key, _ in self.keys(split)])

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        for key in keys:
            random = np.random.default_rng([int(key), split == "test"])
            pixels = random.integers(0, 200, (32, 32, 3), dtype=np.uint8)
            if split == "test" and key == "120":
                pixels[0, :3] = MARK
            yield SourceImage(key, f"{split}{int(key)}", pixels)


class Deadly:
    """The mean of an image. It ends the process the first time that it sees the marked one."""

    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol: object) -> None:
        pass

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        if truth[0, :3].min() >= 0.999 and not KILLED.exists():
            KILLED.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(restored.mean())


CATALOGUE = (("dataset", "many", "Many"), ("metric", "deadly", "Deadly"))
