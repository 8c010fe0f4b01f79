"""Controls: priors that carry no information about the image, so that a gain with them is not the prior's.

The paper (arXiv 2403.06793) has none; without them nobody knows what the prior itself adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from harness.api.prior import PriorTraits
from harness.api.ranges import Channels
from harness.api.reference import PriorRef
from harness.api.traits import Unless
from harness.core.errors import DataError, HarnessError
from harness.core.identity import seed


class RandomVectors:
    """A random direction per sample and orientation: same key, same vector, on every machine.

    `dim`: numbers per vector; 512 as CLIP ViT-B/32 has. `grid`: rows and columns of a map of such vectors, in place of
    one vector; 7 as the patches of CLIP ViT-B/32. Raises HarnessError when one of them is below 1.
    """

    traits = PriorTraits(derived=True, maps=Unless("grid", 1))

    def __init__(self, *, dim: Channels = 512, grid: Annotated[int, Ge(1), Le(256)] = 1) -> None:
        if dim < 1:
            raise HarnessError(f"random vectors need at least one number, not {dim}")
        if grid < 1:
            raise HarnessError(f"random maps need at least one row and column, not {grid}")
        self.shape = dim, grid, grid
        self.dim = prod(self.shape)

    def derive(
        self, rows_ND: np.ndarray | None, train_rows_MD: np.ndarray | None, keys: Sequence[str], images: Sequence[str]
    ) -> np.ndarray:
        """N×dim float32 unit vectors, standard normal before normalisation, made from `keys` alone."""
        drawn = [np.random.default_rng(seed("random prior", key)).standard_normal(self.dim) for key in keys]
        return _unit(np.stack(drawn) if drawn else np.zeros((0, self.dim)))


class Shuffled:
    """Another image's vectors: same distribution as the true ones, wrong content.

    All source images of the split are put on one ring, in an order drawn from their names, and every sample gets a row
    of the next image on it; so no sample ever gets a vector of its own image. Row r of an image gets row r mod n of the
    next, which keeps orientations together, as the orientation changes fastest from row to row.

    `of`: the prior whose vectors are exchanged.
    """

    traits = PriorTraits(derived=True)

    def __init__(self, *, of: PriorRef) -> None:
        self.of = of

    def derive(
        self, rows_ND: np.ndarray | None, train_rows_MD: np.ndarray | None, keys: Sequence[str], images: Sequence[str]
    ) -> np.ndarray:
        """N×D float32, each a row of another image. Raises DataError when all rows are of one image."""
        if rows_ND is None:
            raise HarnessError("the control `shuffled` needs the rows of another prior", hint="name it with `of:`")
        places: dict[str, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image, []).append(place)
        if len(places) < 2:
            raise DataError(
                "only one source image: there is no other to take vectors from",
                where="prior shuffled",
                hint="use a split of two images or more",
            )
        names = sorted(places)
        ring = [names[i] for i in np.random.default_rng(seed("shuffled prior", *names)).permutation(len(names))]
        source = np.empty(len(images), dtype=np.int64)
        for image, other in zip(ring, ring[1:] + ring[:1], strict=True):
            source[places[image]] = np.resize(places[other], len(places[image]))
        return np.ascontiguousarray(rows_ND[source], dtype=np.float32)


class Mean:
    """The train split's mean vector, of unit length, for every sample of every split.

    `of`: the prior whose vectors are averaged.
    """

    traits = PriorTraits(derived=True)

    def __init__(self, *, of: PriorRef) -> None:
        self.of = of

    def derive(
        self, rows_ND: np.ndarray | None, train_rows_MD: np.ndarray | None, keys: Sequence[str], images: Sequence[str]
    ) -> np.ndarray:
        """N×D float32, all rows equal."""
        if train_rows_MD is None or not len(train_rows_MD):
            raise HarnessError("the control `mean` needs the train rows of another prior", hint="name it with `of:`")
        mean_1D = _unit(train_rows_MD.mean(axis=0, dtype=np.float64, keepdims=True))
        return np.repeat(mean_1D, len(keys), axis=0)


def _unit(rows_ND: np.ndarray) -> np.ndarray:
    """Rows of L2 norm 1, float32; zero rows stay zero."""
    norms_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return (rows_ND / np.where(norms_N1 > 0, norms_N1, 1)).astype(np.float32)
