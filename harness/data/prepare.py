"""From a data set to prepared sets: whole images, each once, and their degraded versions where those are fixed.

What an image becomes follows from it and its key alone (harness.data.degrade), so that any number of jobs makes the
same bytes.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from harness.api.dataset import Dataset, Skipping, SourceImage
from harness.api.degradation import Degradation
from harness.api.library import InLibrary
from harness.api.sets import PreparedSet
from harness.api.shard_parts import shards_in, waiting_folder
from harness.core.damage import forget_damage, held, set_aside, sweep
from harness.core.errors import Damaged, DataError, HarnessError, did_you_mean
from harness.core.guests import contained
from harness.core.identity import file_sha256, sealed
from harness.core.memory import memory_told
from harness.core.paths import atomic_folder, remove_away, write_json
from harness.core.registry import Registry
from harness.data.audit import audit
from harness.data.degrade import degrade
from harness.data.images import check_text, images_of, open_dataset
from harness.data.index import INDEX, SampleRow, write_index
from harness.data.library import link, make_link
from harness.data.manifest import CONVERTER, MANIFEST, FileEntry, Manifest, ShardEntry, Skipped
from harness.data.prints import joined_prints, keep_prints, known_prints, prints_file
from harness.data.shards import ShardSet, open_set
from harness.data.waiting import FinishedShard, Waiting, grouped
from harness.parts.guard import check_repeated, made

log = logging.getLogger(__name__)


def prepare_set(stored: PreparedSet, registry: Registry, data: Path) -> ShardSet:
    """Writes a prepared set below the data folder unless it exists, and opens it, verified.

    A set of degraded images is made from the stored clean ones, which are prepared first where they are not there.
    Shards that are finished (see `prepare_part`) are used. The folder appears whole or not at all; when two processes
    want the same set, one prepares it and the other waits. A folder that is damaged or of another set is set aside, and
    is back in its place when the set cannot be prepared. Splits other than `train` are compared with the training
    images (harness.data.audit), but of data sets of the field, whose splits are what they are. A set that the library
    has is not written but linked (harness.data.library). Raises DataError when source images are missing, unfit,
    changed or in both splits, or when the set that is there cannot be read, which says nothing about whether it is
    sound.
    """
    source = None if stored.source is None else prepare_set(stored.source, registry, data)
    folder = stored.folder(data)
    opened = _found(stored, data)
    if opened is not None:
        return opened
    with held(folder):
        sweep(folder)
        opened = _found(stored, data)  # another run may have prepared it since
        if opened is not None:
            return opened
        _make(stored, registry, data, source)
        with suppress(HarnessError):  # the set is there, whatever stays beside it
            remove_away(waiting_folder(stored, data))
    return open_set(stored, data)


def prepare_part(stored: PreparedSet, part: int, parts: int, registry: Registry, data: Path) -> None:
    """Makes those shards of one part, 1 to `parts`, that are not finished (harness.data.waiting); none of a set that is
    there. `prepare_set` makes the set of them. Raises DataError as it does.

    The set is not held, as several parts are made at once. Where another run finishes it meanwhile, nothing stays of
    this part, and what fails because that run has removed what waited is no failure.
    """
    source = None if stored.source is None else prepare_set(stored.source, registry, data)
    if _found(stored, data) is not None:
        return
    dataset = None if source is not None else _dataset(stored, registry)
    if isinstance(dataset, InLibrary):  # linked by who makes the set
        return
    waiting = _waiting(stored, registry, data, source, dataset)
    try:
        waiting.make(shards_in(part, parts, waiting.shards))
    except HarnessError:
        if _found(stored, data) is None:
            raise
    folder = stored.folder(data)
    if os.path.lexists(folder):
        with held(folder):
            if _found(stored, data) is not None:
                remove_away(waiting_folder(stored, data))


def _found(stored: PreparedSet, data: Path) -> ShardSet | None:
    """The set that is there; None when there is none, or it is damaged, another one, or made from other images."""
    folder = stored.folder(data)
    if not os.path.lexists(folder):
        return None
    try:
        opened = open_set(stored, data)
    except Damaged as error:
        log.warning("prepared again, because of %s", error)
        return None
    forget_damage(folder)
    return opened


def _make(stored: PreparedSet, registry: Registry, data: Path, source: ShardSet | None) -> None:
    """A link to the library's set, where it is one of those; else the set, written."""
    dataset = None if source is not None else _dataset(stored, registry)
    if not isinstance(dataset, InLibrary):
        with set_aside(stored.folder(data)):
            _write(stored, data, dataset, _waiting(stored, registry, data, source, dataset), source)
        return
    link(dataset, stored, data)
    prints = prints_file(stored.dataset, stored.split, dataset.folder)
    own = prints_file(stored.dataset, stored.split, data)
    if prints is not None and own is not None and prints.is_file():
        with suppress(HarnessError):  # they only save time
            make_link(prints, own)


def _waiting(
    stored: PreparedSet, registry: Registry, data: Path, source: ShardSet | None, dataset: Dataset | None
) -> Waiting:
    """The finished shards of a set that is made of the data set, or of the clean images of `source`."""
    if source is not None:
        return Waiting(stored, data, _Degraded(stored, registry, source))
    assert dataset is not None, stored.name
    known = known_prints(stored.dataset, stored.split, data) is not None
    return Waiting(stored, data, _Brought(stored, dataset, _keys(dataset, stored), prints=not known))


def _write(stored: PreparedSet, data: Path, dataset: Dataset | None, waiting: Waiting, source: ShardSet | None) -> None:
    """Makes the shards that are lacking, and the set of them all."""
    audited = dataset is not None and stored.split != "train" and dataset.traits.source is None
    to_audit = dataset if audited else None
    if to_audit is not None and not waiting.images.prints:  # its images have been looked at before
        audit(to_audit, stored.split, stored.dataset, data)
    finished = waiting.make(range(waiting.shards))
    licence = "" if source is None else source.manifest.licence
    skipped: tuple[Skipped, ...] = ()
    if dataset is not None:
        licence, skipped = dataset.traits.licence, _skipped(dataset, stored.split)
        if waiting.images.prints and (prints := waiting.prints()) is not None:
            keep_prints(joined_prints(prints), stored.dataset, stored.split, data)
    if to_audit is not None and waiting.images.prints:
        _audited(to_audit, stored, data)
    with atomic_folder(stored.folder(data)) as folder:
        rows = [row for shard in sorted(finished) for row in finished[shard].rows]
        for shard in finished:
            _linked(waiting.file(shard), folder / waiting.file(shard).name)
        write_index(folder / INDEX, rows)
        shards = tuple(_entry(waiting.file(shard).name, finished[shard]) for shard in sorted(finished))
        manifest = Manifest(
            converter=CONVERTER,
            set=stored,
            licence=licence,
            images=_pictures(rows),
            samples=len(rows),
            bytes=sum(shard.bytes for shard in shards),
            index=FileEntry(name=INDEX, sha256=file_sha256(folder / INDEX), bytes=(folder / INDEX).stat().st_size),
            shards=shards,
            skipped=skipped,
            parents=waiting.images.parents,
        )
        write_json(folder / MANIFEST, sealed(manifest.identity()))


def _audited(dataset: Dataset, stored: PreparedSet, data: Path) -> None:
    """The audit, after which nothing is left of a set that does not pass; its prints are kept."""
    try:
        audit(dataset, stored.split, stored.dataset, data)
    except DataError:
        remove_away(waiting_folder(stored, data))
        raise


def _entry(name: str, shard: FinishedShard) -> ShardEntry:
    return ShardEntry(name=name, sha256=shard.sha256, bytes=shard.bytes, samples=len(shard.rows))


def _pictures(rows: Iterable[SampleRow]) -> int:
    """How many images a set holds; a clean one that several samples share counts once in a shard."""
    return len({member for row in rows for member in (row.gt, row.lq) if member is not None})


def _linked(path: Path, target: Path) -> None:
    """Gives a file a second name, so that it stays where it waits until its set is whole; moves it where a file system
    has no second names."""
    try:
        os.link(path, target)
    except OSError:
        shutil.move(path, target)


def _dataset(stored: PreparedSet, registry: Registry) -> Dataset:
    dataset = open_dataset(stored.dataset, registry)
    if stored.split not in dataset.splits():
        hint = did_you_mean(stored.split, dataset.splits())
        raise DataError(f"there is no split {stored.split!r}", where=f"data set {stored.dataset.name}", hint=hint)
    return dataset


def _keys(dataset: Dataset, stored: PreparedSet) -> list[str]:
    """The keys of a split. Raises DataError when there are none, or one is no text or comes twice."""
    with contained(owner=dataset):
        keys = [key for key, _ in dataset.keys(stored.split)]
    if not keys:
        raise DataError(f"split {stored.split!r} has no images", where=f"data set {stored.dataset.name}")
    where = f"data set {stored.dataset.name}, split {stored.split}"
    seen: set[str] = set()
    for key in keys:
        check_text("key", key, where)
        if key in seen:
            raise DataError(f"keys() lists {key!r} twice", where=where, hint="give each image a key of its own")
        seen.add(key)
    return keys


def _skipped(dataset: Dataset, split: str) -> tuple[Skipped, ...]:
    """The files that the data set leaves out, and why."""
    if not dataset.traits.skips:
        return ()
    with contained(owner=dataset):
        found = [(str(file), str(why)) for file, why in cast(Skipping, dataset).skipped(split)]
    return tuple(Skipped(file=file, why=why) for file, why in found)


@dataclass(frozen=True)
class _Brought:
    """The images that a data set brings."""

    stored: PreparedSet
    dataset: Dataset
    keys: list[str]
    prints: bool
    parents: tuple[str, ...] = ()

    def groups(self, shards: Sequence[range]) -> Iterator[Iterator[SourceImage]]:
        wanted = [self.keys[place] for places in shards for place in places]
        images = images_of(self.dataset, self.stored.split, self.stored.dataset.name, wanted)
        return grouped(images, [len(places) for places in shards]) if shards else iter(())


class _Degraded:
    """The degraded versions of the stored clean images."""

    prints = False

    def __init__(self, stored: PreparedSet, registry: Registry, source: ShardSet) -> None:
        assert stored.degradation is not None
        self.ref, self.stored, self.source = stored.degradation, stored, source
        self.keys, self.parents = source.index.keys, (source.manifest_sha256,)
        self.degradation: Degradation = made(
            registry, "degradation", stored.degradation.name, **stored.degradation.arguments
        )

    def groups(self, shards: Sequence[range]) -> Iterator[Iterator[SourceImage]]:
        return map(self._group, shards)

    def _group(self, places: range) -> Iterator[SourceImage]:
        """The first and the last one are made twice: a degradation may also change after some images."""
        for place in places:
            key = self.keys[place]
            clean = self.source.image(place, "gt")
            size = f"height {clean.shape[0]}, width {clean.shape[1]}"
            with memory_told("this image was degraded", where=f"image {key!r} of {self.stored.dataset.name} ({size})"):
                degraded = self._degraded(clean, key)
                if place in (places[0], places[-1]):
                    check_repeated(self.degradation, degraded, self._degraded(clean, key))
            yield SourceImage(key, self.source.index.scenes[place], None, degraded)

    def _degraded(self, clean: np.ndarray, key: str) -> np.ndarray:
        return degrade(clean, key, self.degradation, self.ref, self.stored)
