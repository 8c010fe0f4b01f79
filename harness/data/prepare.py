"""From source images to a prepared set: degrade each whole image once, cut tiles, write shards.

The random numbers of an image depend on `seed("degrade", task, degradation, data set, split, key)` alone: not on
options, so that two noise levels share their noise pattern; not on tile geometry, so that overlapping tiles agree and
every patch size sees the same degraded image; and not on the process or the order of work. Those of a test set with
another `draw` (harness.api.degradation) are the same for every image.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from harness.api.dataset import Dataset, SourceImage
from harness.api.degradation import Degradation, DrawnLikeTheField
from harness.api.loading import load_part
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.core.errors import DataError, did_you_mean
from harness.core.identity import seed
from harness.core.paths import atomic_folder, write_json
from harness.core.registry import Registry
from harness.data.audit import audit_once
from harness.data.members import Codec
from harness.data.shards import CONVERTER, MANIFEST, Manifest, ShardSet, open_set, to_float
from harness.data.tiles import tile_origins
from harness.data.write import SHARD_SAMPLES, ShardWriter

_ABANDONED = 24 * 3600
"""Seconds after which an untouched temporary folder belongs to a process that was killed."""


@dataclass(frozen=True)
class Pair:
    """One sample before it is written: two images H×W×3, and facts such as its place in the source image."""

    key: str
    lq: np.ndarray
    gt: np.ndarray
    facts: dict[str, object]


def prepare_set(
    samples: PreparedSet, registry: Registry, data: Path, *, shard_samples: int = SHARD_SAMPLES
) -> ShardSet:
    """Writes a prepared set below the data folder unless it exists, and opens it, verified.

    The folder appears whole or not at all; when two processes prepare the same set, the first result is kept. Splits
    other than `train` are first compared with the training images (harness.data.audit). Raises DataError when source
    images are missing, changed, too small for a tile or in both splits, or when an existing folder is damaged or of
    another set.
    """
    folder = samples.folder(data)
    if not folder.exists():
        _sweep(folder)
        _write(samples, registry, data, shard_samples)
    return open_set(samples, data)


def degrade(image: SourceImage, degradation: Degradation, samples: PreparedSet) -> np.ndarray:
    """The degraded image: H×W×3 uint8 when the degradation is quantised, else float32, unclipped."""
    degraded = _drawn(image, degradation, samples)
    if degradation.traits.quantised:
        return np.asarray(np.rint(np.clip(degraded, 0.0, 1.0) * 255.0), dtype=np.uint8)
    return np.asarray(degraded, dtype=np.float32)


def _drawn(image: SourceImage, degradation: Degradation, samples: PreparedSet) -> np.ndarray:
    """What the degradation makes of an image, with the random numbers of the set's `draw`."""
    source, task = _source(samples), samples.task
    if samples.draw == "named":
        ingredients = (task.name, source.name, samples.dataset.name, samples.split, image.key)
        return degradation(to_float(image.pixels), np.random.default_rng(seed("degrade", *ingredients)))
    if samples.draw not in degradation.traits.draws:
        raise DataError(f"its random numbers cannot be drawn as {samples.draw!r}", where=f"degradation {source.name}")
    legacy = cast(DrawnLikeTheField, degradation)
    return legacy.with_legacy(to_float(image.pixels), np.random.RandomState(0))


def cut(image: SourceImage, lq: np.ndarray, samples: PreparedSet) -> Iterator[Pair]:
    """The pair of whole images, or its tiles, row by row; the key of a tile has its position."""
    height, width = image.pixels.shape[:2]
    if lq.shape != image.pixels.shape:
        sizes = f"{lq.shape[0]}×{lq.shape[1]} and {height}×{width}"
        raise DataError(f"the degraded and the clean image differ in size: {sizes}", where=f"image {image.key!r}")
    if samples.tile is None:
        yield Pair(image.key, lq, image.pixels, {"height": height, "width": width})
        return
    tile = samples.tile
    try:
        places = tile_origins(height, width, tile, samples.stride or tile)
    except DataError as error:
        hint = f"{error.hint}; with `scale`, whose tiles have sides of patch / least, a larger scale.least"
        raise DataError(error.what, where=f"image {image.key!r}", hint=hint) from None
    for top, left in places:
        window = np.s_[top : top + tile, left : left + tile]
        facts: dict[str, object] = {"height": tile, "width": tile, "top": top, "left": left}
        yield Pair(f"{image.key}-y{top:05d}-x{left:05d}", lq[window], image.pixels[window], facts)


def _write(samples: PreparedSet, registry: Registry, data: Path, shard_samples: int) -> None:
    dataset = _dataset(samples, registry)
    source = _source(samples)
    degradation: Degradation = load_part(registry, "degradation", source.name)(**source.arguments)
    quantised = degradation.traits.quantised
    if samples.split != "train":
        audit_once(dataset, samples.split, samples.dataset, data)
    whole = samples.tile is None
    gt_codec: Codec = "png" if whole else "npy"
    lq_codec: Codec = "png" if whole and quantised else "npy"
    images = 0
    with (
        atomic_folder(samples.folder(data)) as folder,
        ShardWriter(folder, lq_codec=lq_codec, gt_codec=gt_codec, shard_samples=shard_samples) as writer,
    ):
        for image in dataset.images(samples.split):
            _check(image)
            images += 1
            for pair in cut(image, degrade(image, degradation, samples), samples):
                writer.add(pair.key, pair.lq, pair.gt, image=image.key, scene=image.scene, facts=pair.facts)
        index, shards = writer.finish()
        if not shards:
            raise DataError(f"split {samples.split!r} has no images", where=f"data set {samples.dataset.name}")
        manifest = Manifest(
            converter=CONVERTER,
            set=samples,
            licence=dataset.traits.licence,
            quantised=quantised,
            lq_codec=lq_codec,
            gt_codec=gt_codec,
            images=images,
            samples=sum(shard.samples for shard in shards),
            bytes=sum(shard.bytes for shard in shards),
            index=index,
            shards=shards,
        )
        write_json(folder / MANIFEST, manifest.identity())


def _dataset(samples: PreparedSet, registry: Registry) -> Dataset:
    ref = samples.dataset
    dataset: Dataset = load_part(registry, "dataset", ref.name)(**ref.arguments)
    where = f"data set {ref.name}"
    if samples.split not in dataset.splits():
        hint = did_you_mean(samples.split, dataset.splits())
        raise DataError(f"there is no split {samples.split!r}", where=where, hint=hint)
    found = dataset.fingerprint()
    if ref.digest is not None and found != ref.digest:
        raise DataError(
            f"the images have changed since the suite was planned: fingerprint {found}, not {ref.digest}",
            where=where,
            hint="run the suite again",
        )
    return dataset


def _source(samples: PreparedSet) -> PartRef:
    """The degradation that makes the inputs of the task."""
    source = samples.task.derived_from
    if source is None:
        what = "this task has no degradation, and the data set brings no degraded images"
        raise DataError(what, where=f"task {samples.task.name}")
    return source


def _check(image: SourceImage) -> None:
    pixels = image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        what = f"expected H×W×3 uint8, got {'×'.join(map(str, pixels.shape))} {pixels.dtype}"
        raise DataError(what, where=f"image {image.key!r}", hint="convert the image to 8-bit RGB")


def _sweep(folder: Path) -> None:
    """Removes what killed processes left beside `folder`, once they are certainly gone."""
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
