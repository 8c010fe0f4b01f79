"""Shards of a prepared set that are finished and wait for the others: several jobs make them, and killed runs go on.

Each is a folder that appears whole or not at all, `<data>/sets/<name>/.<split>.parts/000003/`, with the tar file, a
note that says what it was made of and what is in it, and the prints of its images (harness.data.prints).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Protocol

from harness.api.dataset import SourceImage
from harness.api.reference import Frozen
from harness.api.sets import PreparedSet
from harness.api.shard_parts import NOTE, SHARD_IMAGES, shards_of, waiting_shard
from harness.core.damage import held
from harness.core.errors import DataError
from harness.core.identity import digest, file_sha256, known_sha256, sealed, unsealed
from harness.core.memory import memory_told
from harness.core.paths import atomic_folder, remove_away, write_json
from harness.data.index import SampleRow
from harness.data.manifest import CONVERTER
from harness.data.prints import Collector, Prints, read_prints, write_prints
from harness.data.write import ShardWriter

log = logging.getLogger(__name__)

PRINTS = "prints.parquet"


class FinishedShard(Frozen):
    """The note of a finished shard."""

    made_of: str
    """A digest of all that its content follows from."""
    sha256: str
    bytes: int
    rows: tuple[SampleRow, ...]


class Images(Protocol):
    """Where the images of a prepared set come from."""

    @property
    def keys(self) -> list[str]:
        """Of all of them, in the order of the set."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Digests of the manifests of the sets that it is made from."""

    @property
    def prints(self) -> bool:
        """Whether the prints of the images are to be taken."""

    def groups(self, shards: Sequence[range]) -> Iterator[Iterator[SourceImage]]:
        """The images of some shards, shard by shard, each given as the places of its images in `keys`."""


@dataclass(frozen=True)
class Waiting:
    """The finished shards of one set."""

    stored: PreparedSet
    data: Path
    images: Images

    @property
    def shards(self) -> int:
        """How many shards the set has."""
        return shards_of(len(self.images.keys))

    def folder(self, shard: int) -> Path:
        return waiting_shard(self.stored, self.data, shard)

    def file(self, shard: int) -> Path:
        """The tar file of a finished shard."""
        return self.folder(shard) / f"{shard:06d}.tar"

    def places(self, shard: int) -> range:
        """Which of the set's images a shard has."""
        return range(shard * SHARD_IMAGES, min((shard + 1) * SHARD_IMAGES, len(self.images.keys)))

    def made_of(self, shard: int) -> str:
        """A digest of all that the content of a shard follows from."""
        keys = [self.images.keys[place] for place in self.places(shard)]
        return digest([CONVERTER, SHARD_IMAGES, self.stored.identity(), list(self.images.parents), shard, keys], 64)

    def finished(self, shard: int) -> FinishedShard | None:
        """What is in a finished shard; None when it is not there, damaged, or made of something else."""
        folder = self.folder(shard)
        if not os.path.lexists(folder):
            return None
        try:
            note = FinishedShard.model_validate(unsealed((folder / NOTE).read_bytes()).content)
            sound = self.file(shard).stat().st_size == note.bytes and known_sha256(self.file(shard)) == note.sha256
            wrong = "" if sound else f"{self.file(shard).name} is not the file that its note describes"
        except (OSError, ValueError) as error:
            wrong = f"its note cannot be read ({str(error).splitlines()[0]})"
        else:
            if not wrong and note.made_of == self.made_of(shard):
                return note
            wrong = wrong or "it was made of something else"
        log.warning("made again, because %s: %s", wrong, folder)
        return None

    def make(self, shards: range) -> Mapping[int, FinishedShard]:
        """Makes those of some shards that are not there, one after the other. Gives all of them.

        When it ends early, by an error or a kill, those that were finished stay. Raises DataError for unfit images.
        """
        there = {shard: found for shard in shards if (found := self.finished(shard)) is not None}
        lacking = [shard for shard in shards if shard not in there]
        if there and lacking:
            log.info("goes on: %d of %d shards are there", len(there), len(shards))
        try:
            groups = self.images.groups([self.places(shard) for shard in lacking])
            for shard, images in zip(lacking, groups, strict=True):
                with held(self.folder(shard)):
                    found = self.finished(shard)  # another run may have made it since
                    there[shard] = self._write(shard, images) if found is None else found
                for _ in images:  # what another run has made is passed over
                    pass
        finally:
            with suppress(OSError):  # when nothing is finished
                self.folder(0).parent.rmdir()
        return there

    def prints(self) -> list[Prints] | None:
        """The prints of the images of all shards; None when those of one are not there."""
        found = [
            read_prints(self.folder(shard) / PRINTS, self.stored.dataset, self.stored.split)
            for shard in range(self.shards)
        ]
        known = [prints for prints in found if prints is not None]
        return known if len(known) == len(found) else None

    def _write(self, shard: int, images: Iterator[SourceImage]) -> FinishedShard:
        began = perf_counter()
        remove_away(self.folder(shard))  # what was found no good
        keys = [self.images.keys[place] for place in self.places(shard)]
        collector = Collector() if self.images.prints else None
        with atomic_folder(self.folder(shard)) as folder:
            path = folder / self.file(shard).name
            with ShardWriter(path) as writer:
                for key, image in zip(keys, images, strict=True):
                    self._add(writer, key, image, collector)
                rows = writer.finish()
            if collector is not None:
                write_prints(collector.prints(), self.stored.dataset, self.stored.split, folder / PRINTS)
            note = FinishedShard(
                made_of=self.made_of(shard), sha256=file_sha256(path), bytes=path.stat().st_size, rows=tuple(rows)
            )
            write_json(folder / NOTE, sealed(note.model_dump(mode="json")))
        pace = len(keys) / max(perf_counter() - began, 1e-9)
        log.info("shard %d of %d: %d images, %.1f images/s", shard + 1, self.shards, len(keys), pace)
        return note

    def _add(self, writer: ShardWriter, key: str, image: SourceImage, collector: Collector | None) -> None:
        where = f"data set {self.stored.dataset.name}, split {self.stored.split}"
        if image.key != key:
            what = f"images() gives {image.key!r} in the place of {key!r}"
            raise DataError(what, where=where, hint="give the images in the order of keys()")
        picture = image.pixels if image.pixels is not None else image.degraded
        assert picture is not None, key
        size = f"height {picture.shape[0]}, width {picture.shape[1]}"
        with memory_told("this image was prepared", where=f"image {key!r} of {self.stored.dataset.name} ({size})"):
            writer.add(key, image.scene, gt=image.pixels, lq=image.degraded, truth=image.truth, group=image.group)
            if collector is not None:
                collector.add(image)


def grouped(images: Iterator[SourceImage], sizes: Iterable[int]) -> Iterator[Iterator[SourceImage]]:
    """A stream of images in groups. The last group ends with the stream, so that what the stream checks at its end
    belongs to it."""
    left = list(sizes)
    for place, size in enumerate(left):
        yield _whole(images, size, last=place == len(left) - 1)


def _whole(images: Iterator[SourceImage], size: int, *, last: bool) -> Iterator[SourceImage]:
    yield from islice(images, size)
    if last:
        yield from images
