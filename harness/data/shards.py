"""Prepared sets on disk: the manifest, the index, and how shards are opened, checked and read.

`<data>/<set>/<split>/` holds `manifest.json`, `index.parquet` (one row per sample, in shard order) and the shards
`000000.tar`, …, which WebDataset reads. harness.data.write writes them. Pixels: H×W×3, RGB; uint8, or float32 where
the degradation is not quantised.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from webdataset.tariterators import group_by_keys, tar_file_expander

from harness.api.reference import Frozen
from harness.api.sets import PreparedSet
from harness.core.damage import damage_noted
from harness.core.errors import Damaged
from harness.core.identity import known_sha256, unsealed
from harness.core.paths import unread
from harness.data.index import INDEX, Rows, damaged, read_index, unreadable
from harness.data.members import Codec, decode, member_key

CONVERTER = 1
"""Version of harness.data.prepare, raised when the same source images would give other samples."""
MANIFEST = "manifest.json"


class FileEntry(Frozen):
    """A file of a prepared set."""

    name: str
    sha256: str
    bytes: int


class ShardEntry(FileEntry):
    """One tar file and how many samples it has."""

    samples: int


class Manifest(Frozen):
    """The description of a prepared set. Its content, and so its digest, is the same on every machine."""

    schema_version: Literal[1] = 1
    converter: int
    """`CONVERTER` of the code that wrote it."""
    set: PreparedSet
    """The set that this is, with tile geometry, degradation and the data set's fingerprint."""
    licence: str
    quantised: bool
    """Whether degraded images are 8-bit."""
    lq_codec: Codec
    gt_codec: Codec
    images: int
    """Source images, whole."""
    samples: int
    bytes: int
    """Size of all shards."""
    index: FileEntry
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True)
class Sample:
    """One decoded sample: degraded and clean image, H×W×3."""

    key: str
    image: str
    lq: np.ndarray
    gt: np.ndarray


@dataclass(frozen=True)
class RawSample:
    """One sample as it lies in a shard, not yet decoded."""

    url: str
    key: str
    lq: bytes
    gt: bytes

    def decode(self, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
        """(lq, gt) as H×W×3 arrays. Raises DataError naming shard and key when the bytes are damaged."""
        lq, gt = self.degraded(manifest), self.clean(manifest)
        if lq.shape != gt.shape:
            raise damaged(self.url, f"sample {self.key!r} pairs {_size(lq)} with {_size(gt)} pixels")
        return lq, gt

    def degraded(self, manifest: Manifest) -> np.ndarray:
        """The degraded image alone; the clean one is not decoded."""
        return self._decoded(self.lq, manifest.lq_codec)

    def clean(self, manifest: Manifest) -> np.ndarray:
        """The clean image alone."""
        return self._decoded(self.gt, manifest.gt_codec)

    def _decoded(self, content: bytes, codec: Codec) -> np.ndarray:
        try:
            return decode(content, codec)
        except ValueError as error:
            raise damaged(self.url, f"sample {self.key!r} cannot be decoded ({error})") from error


def to_float(image: np.ndarray) -> np.ndarray:
    """Pixels as float32 with white at 1: uint8 divided by 255, floats as they are. No other code scales pixels."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    assert image.dtype == np.float32, image.dtype
    return image


def read_shard(path: Path, manifest: Manifest) -> Generator[RawSample, None, None]:
    """The samples of one shard, in order, undecoded, through WebDataset.

    Raises DataError naming the shard when it is missing or truncated, or has a member without its partners.
    """
    lq, gt = f"lq.{manifest.lq_codec}", f"gt.{manifest.gt_codec}"
    try:
        with open(path, "rb") as stream:
            for found in group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])):
                key = member_key(found["__key__"], found.get("json", b""))
                members = {name for name in found if not name.startswith("__")}
                if members != {lq, gt, "json"}:
                    wrong = sorted(members ^ {lq, gt, "json"})
                    raise damaged(str(path), f"sample {key!r} is not a pair: {', '.join(wrong)} missing or unknown")
                yield RawSample(str(path), key, found[lq], found[gt])
    except FileNotFoundError as error:
        raise damaged(str(path), "this shard is missing") from error
    except OSError as error:
        raise unreadable(path, error, f"this shard cannot be read: {unread(error)}") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise damaged(str(path), f"this shard is truncated or damaged ({error})") from error


@dataclass(frozen=True)
class ShardSet:
    """An open prepared set."""

    folder: Path
    manifest: Manifest
    manifest_sha256: str

    @cached_property
    def rows(self) -> Rows:
        """Every sample, in shard order."""
        return Rows(read_index(self.folder / INDEX))

    @property
    def urls(self) -> list[str]:
        """Paths of the shards, in order."""
        return [str(self.folder / shard.name) for shard in self.manifest.shards]

    def __len__(self) -> int:
        return self.manifest.samples

    def raw(self, shard: int) -> Generator[RawSample, None, None]:
        """The undecoded samples of a shard. Raises DataError when they are not those of the index."""
        first = sum(entry.samples for entry in self.manifest.shards[:shard])
        entry = self.manifest.shards[shard]
        expected = iter(self.rows[first : first + entry.samples])
        path = self.folder / entry.name
        with closing(read_shard(path, self.manifest)) as samples:
            for sample in samples:
                row = next(expected, None)
                if row is None or row.key != sample.key:
                    raise damaged(str(path), f"the index has no sample {sample.key!r} in this place")
                yield sample
        if (missing := next(expected, None)) is not None:
            raise damaged(str(path), f"this shard ends before sample {missing.key!r}")

    def samples(self) -> Iterator[Sample]:
        """Every sample, decoded, in shard order. Raises DataError naming a shard that is damaged."""
        rows = iter(self.rows)
        for shard in range(len(self.manifest.shards)):
            for raw in self.raw(shard):
                yield Sample(raw.key, next(rows).image, *raw.decode(self.manifest))


def open_set(samples: PreparedSet, data: Path, *, verify: bool = True) -> ShardSet:
    """Opens a prepared set below the data folder; `verify` compares every file with the manifest's digests.

    Each file is hashed once per process, unless its size or time of change differs. Raises Damaged when the folder, a
    shard or the index is missing, truncated or other than the manifest says, DataError when a file cannot be read. With
    `verify`, Damaged is also noted in the folder (harness.core.damage), so that the next run prepares the set again.
    """
    folder = samples.folder(data)
    with damage_noted(folder, wanted=verify):
        return _opened(samples, folder, verify)


def _opened(samples: PreparedSet, folder: Path, verify: bool) -> ShardSet:
    manifest, sha256 = _read_manifest(folder)
    path = str(folder / MANIFEST)
    if manifest.set.identity() != samples.identity():
        raise damaged(path, f"the manifest is of another set than {samples.name}/{samples.split}")
    if manifest.converter != CONVERTER:
        raise damaged(path, f"prepared by converter {manifest.converter}, this is converter {CONVERTER}")
    if sum(shard.samples for shard in manifest.shards) != manifest.samples:
        raise damaged(path, f"its shards do not add up to {manifest.samples} samples")
    opened = ShardSet(folder, manifest, sha256)
    if verify:
        for entry in (manifest.index, *manifest.shards):
            _verify(folder / entry.name, entry)
        _verify_index(opened)
    return opened


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest and its digest (harness.core.identity.Unsealed)."""
    path = folder / MANIFEST
    try:
        found = unsealed(path.read_bytes())
        return Manifest.model_validate(found.content), found.sha256
    except (FileNotFoundError, NotADirectoryError):
        there = os.path.lexists(folder)
        what = "this prepared set has no manifest" if there else "this prepared set does not exist"
        raise Damaged(what, where=str(folder), hint="run the suite, which prepares it") from None
    except OSError as error:
        raise unreadable(path, error, f"the manifest cannot be read: {unread(error)}") from error
    except ValueError as error:
        raise damaged(str(path), f"the manifest is damaged ({str(error).splitlines()[0]})") from error


def _verify(path: Path, entry: FileEntry) -> None:
    try:
        size = path.stat().st_size
        found = known_sha256(path) if size == entry.bytes else ""
    except FileNotFoundError:
        raise damaged(str(path), "a file of the prepared set is missing") from None
    except OSError as error:
        raise unreadable(path, error, f"cannot be read: {unread(error)}") from error
    if size != entry.bytes:
        raise damaged(str(path), f"truncated or changed: {size} bytes, not {entry.bytes}")
    if found != entry.sha256:
        raise damaged(str(path), f"changed: sha256 is {found[:12]}…, the manifest says {entry.sha256[:12]}…")


def _verify_index(opened: ShardSet) -> None:
    table = read_index(opened.folder / INDEX)
    counts = np.bincount(table["shard"].to_numpy(), minlength=len(opened.manifest.shards)).tolist()
    if counts != [shard.samples for shard in opened.manifest.shards]:
        raise damaged(str(opened.folder / INDEX), "the index and the manifest count other samples")


def _size(image: np.ndarray) -> str:
    return "×".join(map(str, image.shape[:2]))
