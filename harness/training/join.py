"""Joins training samples with cached prior rows."""

from __future__ import annotations

import numpy as np
import torch

from harness.api.reference import ORIENTATIONS
from harness.cells.recipe import Recipe
from harness.core.errors import DataError, HarnessError
from harness.data.draw import Cut
from harness.data.features import FeatureRows
from harness.data.orientation import orient, oriented_window, turns
from harness.data.samples import OpenSamples
from harness.models.maps import part_of_map


class PriorJoin:
    """The prior row of every draw: that of the very crop (policy `crop`), or of its whole image (policy `image`).

    Of a map of the whole image a crop gets the part that lies over it (`part_of_map`), turned as the crop is.

    Raises DataError for rows that are not of these samples or of other orientations, HarnessError for maps that cannot
    be turned.
    """

    def __init__(self, features: FeatureRows, samples: OpenSamples, recipe: Recipe) -> None:
        self.features, self._index, self._resize = features, samples.index, recipe.resize
        self._by_crop = features.manifest["features"]["policy"] == "crop"
        orientations, where = ORIENTATIONS[recipe.augment], samples.where
        if features.samples_manifest_sha256 != samples.manifest_sha256:
            what = "the prior features were made from another version of this set"
            raise DataError(what, where=where, hint="delete the feature folder and run the suite again")
        if features.orientations not in (1, len(orientations)):
            what = f"the prior features hold {features.orientations} orientations, not the {len(orientations)} of"
            hint = "run the suite again, which computes them"
            raise DataError(f"{what} augment {recipe.augment!r}", where=where, hint=hint)
        shape = features.shape
        if shape and shape[1] != shape[2] and features.orientations == 1 and any(map(turns, orientations)):
            what = f"a map of {shape[1]}×{shape[2]} cannot be turned by a quarter"
            raise HarnessError(what, where=where, hint="views: 8, or augment: flips (or flip, none)")

    def row(self, sample: int, row: int, cut: Cut) -> np.ndarray:
        """[D] of a draw: `sample` among the crops of the grid, `row` of the index; maps are flattened."""
        if self._by_crop:
            return self.features.row(sample, cut.place)
        found = self.features.row(row, cut.place)
        return found if self.features.shape is None else self._part(found, self.features.shape, row, cut)

    def _part(self, found: np.ndarray, shape: tuple[int, int, int], row: int, cut: Cut) -> np.ndarray:
        whole = self._resize or (int(self._index.heights[row]), int(self._index.widths[row]))
        window, of_turned = (*cut.window[:2], *cut.sides), self.features.orientations > 1
        if of_turned:
            window = oriented_window(window, whole, cut.orientation)
            whole = (whole[1], whole[0]) if turns(cut.orientation) else whole
        map_Dhw = torch.from_numpy(np.array(found, np.float32)).reshape(shape)
        part_Dhw = part_of_map(map_Dhw[None], window[2:], (*window[:2], *whole))[0].numpy()
        if not of_turned:
            part_Dhw = orient(part_Dhw.transpose(1, 2, 0), cut.orientation).transpose(2, 0, 1)
        return np.ascontiguousarray(part_Dhw).reshape(-1)
