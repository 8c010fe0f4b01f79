"""The degraded pictures of which cached prior features are made: whole images, or the crops of a grid.

Noise that is drawn is here that of test images, so that every sample has one fixed picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from harness.api.reference import ORIENTATIONS
from harness.api.sets import FeatureSet
from harness.data.draw import reflected, resized, sample_list
from harness.data.orientation import orient
from harness.data.samples import OpenSamples
from harness.data.shards import to_float

PIECE_BYTES = 64 << 20
"""Rows that one file holds, and so what is held in memory before it is written; one sample's rows at least."""


class Pictures:
    """The pictures of a feature set, in the order of its rows. Samples without a degraded image have none."""

    def __init__(self, features: FeatureSet, opened: OpenSamples) -> None:
        """Raises DataError when images are smaller than a crop of the grid, and are not to be continued."""
        cut = features.cut
        self._opened, self._resize = opened, features.resize if cut else None
        self._orientations = ORIENTATIONS[features.augment]
        self._listed = sample_list(
            opened.index,
            crop=None,
            grid=features.grid if cut else None,
            resize=self._resize,
            pad=features.pad,
            rows=opened.has_lq,
            where=opened.where,
        )
        self._rows = self._listed.rows
        self.samples: np.ndarray = np.arange(len(self._listed)) if cut else self._rows
        """Their numbers (harness.data.features), in rising order."""

    @property
    def keys(self) -> list[str]:
        """What the samples are called."""
        return [self._listed.key(place) for place in range(len(self._listed))]

    @property
    def scenes(self) -> list[str]:
        """The scene that each sample is of."""
        scenes = self._opened.index.scenes
        return [scenes[row] for row in self._rows.tolist()]

    def __iter__(self) -> Iterator[np.ndarray]:
        """H×W×C float32, for every sample each of its orientations. An image is read once, whatever is cut from it."""
        last, view, crop = -1, np.empty(0), self._listed.crop
        for place, row in enumerate(self._rows.tolist()):
            if row != last:
                last, view = row, self._whole(row)
            picture = view
            if crop is not None:
                top, left, height, width = self._listed.region(place)
                picture = reflected(view[top : top + height, left : left + width], crop)
            for orientation in self._orientations:
                yield orient(to_float(picture), orientation)

    def _whole(self, row: int) -> np.ndarray:
        picture = self._opened.picture(row)
        return picture if self._resize is None else resized(picture, self._resize)

    def pieces(self, dim: int) -> list[np.ndarray]:
        """The samples of each file: those of one shard, and of `dim` numbers a row no more than a piece holds."""
        most = max(1, PIECE_BYTES // (4 * dim * len(self._orientations)))
        places = self._opened.index.places["lq" if self._opened.noise is None else "gt"]
        # Clean images that several samples share lie with the first of them, so a shard's number may fall again.
        shards = np.maximum.accumulate(places.numbers[self._rows, 0])
        borders = np.r_[0, np.flatnonzero(np.diff(shards)) + 1, len(shards)]
        return [
            self.samples[start : min(start + most, after)]
            for first, after in pairwise(borders.tolist())
            for start in range(first, after, most)
        ]
