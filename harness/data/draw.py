"""What training sees of the stored images: which places of them are samples, and what is cut from a sample at a draw.

A *sample* is a region of an image: all of it, one of its sub-images (`regions`), or a crop of a grid. At every draw a
crop is cut from the region, at random unless the region is that crop. All of it follows from one generator a sample and
epoch, `seed("draw", samples, cell seed, epoch, key)`, in the order: row, column, orientation, noise.

Coordinates are those of the image after `resize`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from harness.api.sets import Grid
from harness.cells.patches import Regions, Sides
from harness.core.errors import DataError, HarnessError
from harness.data.index import Index
from harness.data.orientation import turns
from harness.data.shards import ShardSet
from harness.data.tiff import Window

_NAMED = 4
"""How many images a message names."""


@dataclass(frozen=True)
class SampleList:
    """Every sample of a set, in the order of its index; those of one image row by row.

    N samples of R rows. `crop`: height and width of what is cut from a sample; None for the whole region. `placed`:
    regions are the crops themselves.
    """

    keys: Sequence[str]
    """Of the rows of the index."""
    rows: np.ndarray
    """[N] row of the index."""
    regions: np.ndarray
    """[N, 4] top, left, height, width; within the image."""
    of_rows: np.ndarray
    """[R + 1] first sample of each row, and N."""
    crop: Sides | None
    resize: Sides | None
    named: np.ndarray
    """[N] whether the key of a sample says its place in the image."""

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, sample: int) -> int:
        """The row of the index that a sample lies in."""
        return int(self.rows[sample])

    def key(self, sample: int) -> str:
        """Unique: the image's key, with the place where one image has several samples, or crops of a grid."""
        key = self.keys[self.rows[sample]]
        if not self.named[sample]:
            return key
        top, left = self.regions[sample, :2].tolist()
        return f"{key}-y{top:05d}-x{left:05d}"

    def region(self, sample: int) -> Window:
        """Where a sample lies in its image."""
        top, left, height, width = self.regions[sample].tolist()
        return top, left, height, width


def sample_list(
    index: Index,
    *,
    crop: Sides | None,
    regions: Regions | None = None,
    grid: Grid | None = None,
    resize: Sides | None = None,
    pad: str = "none",
    rows: np.ndarray | None = None,
    where: str = "training data",
) -> SampleList:
    """The samples of a set. `rows`: mask of the rows of the index that have any; all by default.

    With a `grid`, whose crops are the samples, `crop` is the grid's. Along a side of L pixels, places of a window of
    side s are 0, stride, 2·stride, … ≤ L − s, and L − s. (XPixelGroup/BasicSR, scripts/data_preparation/
    extract_subimages.py with thresh_size 0; swz30/Restormer, Motion_Deblurring/generate_patches_gopro.py.)

    Raises DataError, with counts, when images are smaller than a crop and not padded, and HarnessError for regions and
    a grid at once.
    """
    if grid is not None and regions is not None:
        raise HarnessError("crops of a grid are samples already", where=where, hint="remove recipe.regions")
    heights, widths = _sizes(index, resize)
    chosen = np.arange(len(heights)) if rows is None else np.flatnonzero(rows)
    heights, widths = heights[chosen], widths[chosen]
    side, stride, alone = _windows(heights, widths, regions, grid)
    found, counts = _tiled(heights, widths, side, stride, alone)
    if grid is not None:
        crop = grid.height, grid.width
    if crop is not None and pad == "none":
        _check_sizes(index, chosen, found, counts, crop, where, "regions" if regions is not None else "images")
    per_row = np.zeros(len(index), np.int64)
    per_row[chosen] = counts
    several = np.repeat(counts > 1, counts)
    return SampleList(
        keys=index.keys,
        rows=np.repeat(chosen, counts),
        regions=found,
        of_rows=np.concatenate([[0], np.cumsum(per_row)]),
        crop=crop,
        resize=resize,
        named=several if grid is None else np.ones_like(several),
    )


def _sizes(index: Index, resize: Sides | None) -> tuple[np.ndarray, np.ndarray]:
    heights, widths = np.asarray(index.heights, np.int64), np.asarray(index.widths, np.int64)
    return (heights, widths) if resize is None else (np.full_like(heights, resize[0]), np.full_like(widths, resize[1]))


def _windows(
    heights: np.ndarray, widths: np.ndarray, regions: Regions | None, grid: Grid | None
) -> tuple[Sides, int, np.ndarray]:
    """(height and width of the windows, their stride, mask of the images that are one window, whole)."""
    if grid is not None:
        return (grid.height, grid.width), grid.stride, np.zeros(len(heights), bool)
    if regions is not None:
        return (regions.side, regions.side), regions.stride, np.minimum(heights, widths) <= regions.whole_up_to
    return (1, 1), 1, np.ones(len(heights), bool)


def _tiled(
    heights: np.ndarray, widths: np.ndarray, side: Sides, stride: int, alone: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """([N, 4] windows of all images, row by row; [images] their numbers). Windows end where images do."""
    high = np.where(alone, heights, np.minimum(heights, side[0]))
    wide = np.where(alone, widths, np.minimum(widths, side[1]))
    down, across = -((high - heights) // stride) + 1, -((wide - widths) // stride) + 1
    counts = down * across
    image = np.repeat(np.arange(len(heights)), counts)
    within = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
    top = np.minimum(within // across[image] * stride, (heights - high)[image])
    left = np.minimum(within % across[image] * stride, (widths - wide)[image])
    return np.stack([top, left, high[image], wide[image]], 1), counts


def _check_sizes(
    index: Index, chosen: np.ndarray, regions: np.ndarray, counts: np.ndarray, crop: Sides, where: str, called: str
) -> None:
    """Raises DataError when a region holds no crop; it counts the images that have such a region."""
    small = (regions[:, 2] < crop[0]) | (regions[:, 3] < crop[1])
    if not small.any():
        return
    image = np.repeat(np.arange(len(chosen)), counts)
    images, first = np.unique(image[small], return_index=True)
    sizes = regions[np.flatnonzero(small)[first], 2:].tolist()
    named = [
        f"{index.keys[chosen[place]]} ({height}×{width})"
        for place, (height, width) in zip(images[:_NAMED].tolist(), sizes, strict=False)
    ]
    more = ", …" if len(images) > _NAMED else ""
    held = "are smaller than" if called == "images" else "have regions smaller than"
    what = (
        f"{len(images):,} of {len(chosen):,} images {held} the {crop[0]}×{crop[1]} pixels that are cut from "
        f"them: {', '.join(named)}{more}"
    )
    hint = "recipe.pad: reflect, which continues them, or a smaller recipe.patch (with `scale`, a larger scale.least)"
    raise DataError(what, where=where, hint=hint if called == "images" else f"{hint}, or a larger regions.side")


def check_frames(samples: SampleList, orientations: Sequence[int], batch: int, where: str) -> None:
    """Raises DataError when whole images cannot be put into a batch, because they have several sizes.

    Quarter turns exchange height and width. A batch of one image may have any size.
    """
    if samples.crop is not None or batch == 1 or not len(samples):
        return
    sizes, counts = np.unique(samples.regions[:, 2:], axis=0, return_counts=True)
    if len(sizes) > 1:
        order = np.argsort(-counts, kind="stable")[:_NAMED]
        found = ", ".join(f"{counts[place]:,} of {sizes[place][0]}×{sizes[place][1]}" for place in order)
        more = ", …" if len(sizes) > _NAMED else ""
        what = f"whole images of {len(sizes):,} sizes cannot make batches of {batch}: {found}{more}"
        raise DataError(what, where=where, hint="recipe.batch: 1, a patch [height, width], or recipe.resize")
    height, width = sizes[0].tolist()
    if height != width and any(turns(orientation) for orientation in orientations):
        what = f"a quarter turn makes {width}×{height} of whole images of {height}×{width}: no batches of {batch}"
        raise DataError(what, where=where, hint="recipe.augment: flips (or flip, none), or recipe.batch: 1")


@dataclass(frozen=True)
class Cut:
    """What a draw sees of a sample: a window of the image, which is padded to `sides`, then oriented."""

    window: Window
    """Before it is oriented, within the image."""
    sides: Sides
    """Height and width after padding, before it is oriented."""
    place: int
    """Place of the orientation among those that the recipe draws from."""
    orientation: int


def draw_cut(region: Window, crop: Sides | None, orientations: Sequence[int], random: np.random.Generator) -> Cut:
    """Draws where a sample is cut, and how it is turned: takes three uniform numbers, for row, column, orientation.

    The row is floor(u · (H − h + 1)) in a region of H rows, the column likewise. A crop that is not square is cut w×h
    for a quarter turn, so that the turned sample is h×w; a region that does not hold w×h draws, with the same number,
    among the orientations without one. A region that is smaller than the crop is to be padded.
    """
    top, left, height, width = region
    down, across, turn = random.random(3).tolist()
    if crop is not None and crop[0] != crop[1] and (height < crop[1] or width < crop[0]):
        allowed = [place for place, orientation in enumerate(orientations) if not turns(orientation)]
    else:
        allowed = list(range(len(orientations)))
    place = allowed[int(turn * len(allowed))]
    sides = (height, width) if crop is None else crop
    if crop is not None and turns(orientations[place]):
        sides = crop[1], crop[0]
    high, wide = min(sides[0], height), min(sides[1], width)
    window = top + int(down * (height - high + 1)), left + int(across * (width - wide + 1)), high, wide
    return Cut(window, sides, place, orientations[place])


def read_cut(stored: ShardSet, row: int, side: str, window: Window, sides: Sides, resize: Sides | None) -> np.ndarray:
    """The window of a stored image, H×W×C as it is stored, continued to `sides` by reflection below and on the right.

    Only the part of the image that lies under the window is read, unless it is resized first (bilinear).
    """
    assert side in ("gt", "lq"), side
    if resize is None:
        image = stored.image(row, "gt" if side == "gt" else "lq", window)
    else:
        top, left, height, width = window
        whole = resized(stored.image(row, "gt" if side == "gt" else "lq"), resize)
        image = whole[top : top + height, left : left + width]
    return reflected(image, sides)


def reflected(image: np.ndarray, sides: Sides) -> np.ndarray:
    """An image H×W×C continued to `sides` by reflection, without repeating the edge, as often as it takes."""
    below, right = sides[0] - image.shape[0], sides[1] - image.shape[1]
    if below <= 0 and right <= 0:
        return image
    return np.pad(image, ((0, max(below, 0)), (0, max(right, 0)), (0, 0)), mode="reflect")


def resized(image: np.ndarray, sides: Sides) -> np.ndarray:
    """An image H×W×C at another size, by OpenCV's bilinear interpolation (INTER_LINEAR), of the same type."""
    if image.shape[:2] == sides:
        return image
    made = cv2.resize(image, (sides[1], sides[0]), interpolation=cv2.INTER_LINEAR)
    return made.reshape(*sides, image.shape[2])
