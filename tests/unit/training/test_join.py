"""The prior row of every draw: of the very crop, or the part of its image's map that lies over it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.reference import ORIENTATIONS, Augment, PartRef
from harness.api.sets import FeatureSet, Grid, Samples
from harness.cells.recipe import Recipe
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.data.features import FeatureRows, Piece, open_features, write_features
from harness.data.orientation import orient
from harness.data.samples import OpenSamples, open_samples
from harness.parts.catalogue import BUILT_IN
from harness.training.data import TrainLoader
from tests.stored_set import BASE, store

HEIGHT, WIDTH = 48, 64


def ramp(number: int) -> np.ndarray:
    """An image whose red and green are its own coordinates."""
    down, right = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([down, right, np.full_like(down, number)], 2).astype(np.uint8)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> OpenSamples:
    root = tmp_path_factory.mktemp("data")
    store(BASE, [{"key": f"k{n}", "scene": f"s{n}", "gt": ramp(n), "lq": ramp(n)} for n in range(3)], root)
    return open_samples(Samples(stored=BASE), Registry(BUILT_IN), root)


def written(
    samples: OpenSamples, root: Path, rows: np.ndarray, number: int, shape: Any = None, **options: Any
) -> FeatureRows:
    made = FeatureSet(prior=PartRef(name="told"), samples=samples.samples, reference=samples.samples, **options)
    digests = {"samples_manifest_sha256": samples.manifest_sha256, "shape": shape}
    write_features(made, root, [Piece(np.arange(number), rows.astype(np.float32))], **digests)
    return open_features(made, root)


def test_crops_of_a_grid_have_rows_of_their_own(samples: OpenSamples, tmp_path: Path) -> None:
    """36 tiles of 16 pixels in eight orientations: a row is its tile's number and orientation."""
    grid = Grid(height=16, width=16, stride=16)
    rows = np.array([[tile, k] for tile in range(36) for k in range(8)])
    features = written(samples, tmp_path, rows, 36, policy="crop", grid=grid, augment="dihedral")
    recipe = Recipe(batch=6, patch=16, crop="grid")
    seen = set()
    for batch in islice(TrainLoader(samples, features, recipe, seed=0), 12):
        assert batch.prior_BD is not None
        for key, image, (tile, k) in zip(batch.keys, batch.lq_BCHW, batch.prior_BD.int().tolist(), strict=True):
            number, rest = divmod(tile, 12)
            top, left = 16 * (rest // 4), 16 * (rest % 4)
            assert key == f"k{number}-y{top:05d}-x{left:05d}"
            crop = ramp(number)[top : top + 16, left : left + 16]
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), orient(crop, k))
            seen.add(key)
    assert len(seen) == 36, "an epoch is every tile once"


@pytest.mark.parametrize("views", [1, 8])
@pytest.mark.parametrize(("patch", "augment"), [(16, "dihedral"), ((16, 32), "dihedral"), ((12, 40), "flips")])
def test_a_map_is_cut_and_turned_with_the_crop(
    patch: Any, augment: Augment, views: int, samples: OpenSamples, tmp_path: Path
) -> None:
    """A map whose values are the image's coordinates says over every cell what the crop shows there, but at borders."""
    side = 8
    orientations = ORIENTATIONS[augment] if views == 8 else (0,)

    def map_of(k: int) -> np.ndarray:
        image = orient(np.moveaxis(np.mgrid[:HEIGHT, :WIDTH], 0, 2).astype(float), k)
        high, wide = image.shape[0] // side, image.shape[1] // side
        return image.reshape(side, high, side, wide, 2).mean((1, 3)).transpose(2, 0, 1).reshape(-1)

    rows = np.array([map_of(k) for _ in range(3) for k in orientations])
    features = written(samples, tmp_path, rows, 3, (2, side, side), augment=augment if views == 8 else "none")
    recipe = Recipe(batch=3, patch=patch, augment=augment)
    checked = 0
    for batch in islice(TrainLoader(samples, features, recipe, seed=0), 20):
        assert batch.prior_BD is not None
        for image, row in zip(batch.lq_BCHW, batch.prior_BD, strict=True):
            found = row.reshape(2, side, side).numpy()
            height, width = image.shape[1:]
            cells = [(np.arange(side) + 0.5) * length / side - 0.5 for length in (height, width)]
            for channel, most in ((0, HEIGHT), (1, WIDTH)):
                ramps = image[channel].float().numpy()
                expected = np.array([[_bilinear(ramps, y, x) for x in cells[1]] for y in cells[0]])
                border = most / side / 2  # half a cell of the map, beyond which it does not rise
                inside = (expected > border) & (expected < most - 1 - border)
                np.testing.assert_allclose(found[channel][inside], expected[inside], atol=1e-3)
                checked += int(inside.sum())
    assert checked > 2000


def _bilinear(image: np.ndarray, y: float, x: float) -> float:
    top, left = int(np.floor(y)), int(np.floor(x))
    below, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
    dy, dx = y - top, x - left
    upper = image[top, left] * (1 - dx) + image[top, right] * dx
    lower = image[below, left] * (1 - dx) + image[below, right] * dx
    return float(upper * (1 - dy) + lower * dy)


def test_oblong_maps_cannot_be_turned_by_a_quarter(samples: OpenSamples, tmp_path: Path) -> None:
    features = written(samples, tmp_path, np.zeros((3, 24)), 3, (2, 3, 4))
    with pytest.raises(HarnessError, match="a map of 3×4 cannot be turned by a quarter"):
        TrainLoader(samples, features, Recipe(patch=16), seed=0)
    TrainLoader(samples, features, Recipe(patch=16, augment="flips"), seed=0)
