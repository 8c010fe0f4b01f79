"""From source images to a prepared set: degrade each whole image once, cut tiles, write shards.

The random numbers of an image depend on `seed("degrade", task, degradation, data set, split, key)` alone: not on
options, so that two noise levels share their noise pattern; not on tile geometry, so that overlapping tiles agree and
every patch size sees the same degraded image; and not on the process or the order of work. Those of a test set with
another `draw` (harness.api.degradation) are the same for every image.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from harness.api.dataset import Dataset, SourceImage
from harness.api.degradation import Degradation, DrawnLikeTheField
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.core.damage import forget_damage, held, set_aside, sweep
from harness.core.errors import Damaged, DataError, did_you_mean
from harness.core.identity import sealed, seed
from harness.core.memory import memory_told
from harness.core.paths import atomic_folder, write_json
from harness.core.registry import Registry
from harness.data.audit import audit
from harness.data.images import images_of, open_dataset
from harness.data.members import Codec
from harness.data.prints import Collector, keep_prints, known_prints
from harness.data.shards import CONVERTER, MANIFEST, Manifest, ShardSet, open_set, to_float
from harness.data.tiles import tile_origins
from harness.data.write import SHARD_SAMPLES, ShardWriter
from harness.parts.guard import called, check_degraded, check_repeated, made

log = logging.getLogger(__name__)


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

    The folder appears whole or not at all; when two processes want the same set, one prepares it and the other waits.
    A folder that is damaged or of another set is set aside, and is back in its place when the set cannot be prepared.
    Splits other than `train` are first compared with the training images (harness.data.audit). Raises DataError when
    source images are missing, changed, too small for a tile or in both splits, or when the set that is there cannot be
    read, which says nothing about whether it is sound.
    """
    folder = samples.folder(data)
    opened = _found(samples, data)
    if opened is not None:
        return opened
    with held(folder):
        sweep(folder)
        opened = _found(samples, data)  # another run may have prepared it since
        if opened is not None:
            return opened
        with set_aside(folder):
            _write(samples, registry, data, shard_samples)
    return open_set(samples, data)


def _found(samples: PreparedSet, data: Path) -> ShardSet | None:
    """The set that is there; None when there is none, or it is damaged or another one."""
    folder = samples.folder(data)
    if not os.path.lexists(folder):
        return None
    try:
        opened = open_set(samples, data)
    except Damaged as error:
        log.warning("prepared again, because of %s", error)
        return None
    forget_damage(folder)
    return opened


def degrade(image: SourceImage, degradation: Degradation, samples: PreparedSet) -> np.ndarray:
    """The degraded image: H×W×3 uint8 when the degradation is quantised, else float32, unclipped."""
    with called(degradation):
        degraded = _drawn(image, degradation, samples)
    check_degraded(degradation, degraded, image.pixels, image.key)
    if degradation.traits.quantised:
        return np.asarray(np.rint(np.clip(degraded, 0.0, 1.0) * 255.0), dtype=np.uint8)
    return np.array(degraded, dtype=np.float32)  # a copy: the degradation may write into its own array again


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
    degradation: Degradation = made(registry, "degradation", source.name, **source.arguments)
    quantised = degradation.traits.quantised
    if samples.split != "train":
        audit(dataset, samples.split, samples.dataset, data)
    whole = samples.tile is None
    gt_codec: Codec = "png" if whole else "npy"
    lq_codec: Codec = "png" if whole and quantised else "npy"
    images = 0
    last: tuple[SourceImage, np.ndarray] | None = None
    with (
        atomic_folder(samples.folder(data)) as folder,
        ShardWriter(folder, lq_codec=lq_codec, gt_codec=gt_codec, shard_samples=shard_samples) as writer,
    ):
        for image in _seen(dataset, samples, data):
            images += 1
            height, width = image.pixels.shape[:2]
            where = f"image {image.key!r} of {samples.dataset.name} (height {height}, width {width})"
            with memory_told("this image was prepared", where=where):
                degraded = degrade(image, degradation, samples)
                if images == 1:
                    check_repeated(degradation, degraded, degrade(image, degradation, samples))
                for pair in cut(image, degraded, samples):
                    writer.add(pair.key, pair.lq, pair.gt, image=image.key, scene=image.scene, facts=pair.facts)
            last = image, degraded
        if last is not None:  # once more, as a degradation may change after some images
            check_repeated(degradation, last[1], degrade(last[0], degradation, samples))
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
        write_json(folder / MANIFEST, sealed(manifest.identity()))


def _dataset(samples: PreparedSet, registry: Registry) -> Dataset:
    dataset = open_dataset(samples.dataset, registry)
    if samples.split not in dataset.splits():
        hint = did_you_mean(samples.split, dataset.splits())
        raise DataError(f"there is no split {samples.split!r}", where=f"data set {samples.dataset.name}", hint=hint)
    return dataset


def _seen(dataset: Dataset, samples: PreparedSet, data: Path) -> Iterator[SourceImage]:
    """The images of the split. Their prints are taken on the way, for the audits to come."""
    ref, split = samples.dataset, samples.split
    collector = None if known_prints(ref, split, data) else Collector()
    for image in images_of(dataset, split, ref.name):
        if collector is not None:
            collector.add(image)
        yield image
    if collector is not None:
        keep_prints(collector.prints(), ref, split, data)


def _source(samples: PreparedSet) -> PartRef:
    """The degradation that makes the inputs of the task."""
    source = samples.task.derived_from
    if source is None:
        what = "this task has no degradation, and the data set brings no degraded images"
        raise DataError(what, where=f"task {samples.task.name}")
    return source
