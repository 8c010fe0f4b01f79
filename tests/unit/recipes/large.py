"""A plug-in whose images hold the largest patches that a preset names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage


class Large:
    """One black image of 2048×2048 pixels a split."""

    traits = DatasetTraits(licence="made by the tests", shortest_side=2048)

    def splits(self) -> Sequence[str]:
        return ("train", "test")

    def fingerprint(self) -> str:
        return "large-1"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(split, split)]

    def images(self, split: str) -> Iterator[SourceImage]:
        yield SourceImage(split, split, np.zeros((2048, 2048, 3), np.uint8))


CATALOGUE = (("dataset", "large", "Large"),)
