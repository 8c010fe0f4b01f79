"""Prepared sets on disk: how a set is opened and checked, and how its images are read.

`<data>/sets/<name>/<split>/` holds `manifest.json` (harness.data.manifest), `index.parquet` (one row per sample, in
shard order) and the shards `000000.tar`, …, which WebDataset reads too. harness.data.write writes them. Pixels are
H×W×C as harness.data.tiff stores them; a window of an image is read without the rest.
"""

from __future__ import annotations

import resource
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.sets import PreparedSet
from harness.core.damage import Another, damage_noted, is_damage, unreadable
from harness.core.errors import Damaged, DataError
from harness.core.paths import unread
from harness.data import tiff
from harness.data.checked import verify_file, verify_index
from harness.data.index import AGAIN, INDEX, Index, Member, Side, damaged, read_index
from harness.data.manifest import (
    CONVERTER,
    MANIFEST,
    FileEntry,
    Manifest,
    file_of,
    files_of,
    read_manifest,
    true_hint,
)
from harness.data.origin import Distant, Origin, origin_of
from harness.data.shard_file import BLOCK, Readable, ShardFile, check_header
from harness.data.verified import Verified

_ALLOWED = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""Files that the system lets a process have open: 1024 as a rule, -1 for any number."""
OPEN_SHARDS = 256 if _ALLOWED < 0 else max(16, min(256, _ALLOWED // 4))
"""Shards of one set that are open at a time. A set and that of its clean images are read together."""
KEPT_TILES = 2**17
"""Places of tiles that one set remembers, 8 bytes each."""


def to_float(image: np.ndarray) -> np.ndarray:
    """Pixels as float32 with white at 1: uint8 divided by 255, uint16 by 65535, floats as they are.

    No other code scales pixels on the host.
    """
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.float32(65535)
    assert image.dtype == np.float32, image.dtype
    return image


class ShardSet:
    """An open prepared set. Threads may read from it at the same time; it can be pickled and survives a fork."""

    def __init__(self, folder: Path, manifest: Manifest, manifest_sha256: str, source: ShardSet | None = None) -> None:
        """`source`: the set that holds the clean images, for one that holds degraded ones alone."""
        self.folder, self.manifest, self.manifest_sha256, self.source = folder, manifest, manifest_sha256, source
        self._open: OrderedDict[int, Readable] = OrderedDict()
        self._tables: dict[tuple[int, int, str], tiff.Tiles] = {}
        self._kept = 0

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name != "origin"}
        return kept | {"_open": OrderedDict(), "_tables": {}, "_kept": 0}

    def __len__(self) -> int:
        return self.manifest.samples

    @cached_property
    def index(self) -> Index:
        """Every sample, in shard order. The clean images of a set with a `source` lie in the shards of that one."""
        found = read_index(self.folder / INDEX)
        try:
            if self.source is not None:
                found = found.with_clean(self.source.index)
            found.check_sizes()
            return found
        except KeyError as error:
            raise damaged(str(self.folder / INDEX), f"sample {error.args[0]!r} has no clean image") from None
        except ValueError as error:
            raise damaged(str(self.folder / INDEX), str(error)) from error

    @cached_property
    def origin(self) -> Origin | None:
        """Where the shards come from that are not here yet; None for a set that was made here."""
        return origin_of(self.folder, files_of(self.manifest))

    def fetch_ahead(self, rows: Iterable[int]) -> None:
        """Lets the shards of samples that will be read, in this order, come in the background, until `close`.

        Shards that are here stay; what another call has asked for and is still to come is forgotten.
        """
        if self.origin is None and (self.source is None or self.source.origin is None):
            return
        at = np.fromiter(rows, dtype=np.int64)
        degraded, clean = (self.index.places[side].numbers[at, 0] for side in ("lq", "gt"))
        if self.source is None:
            self._ahead(np.stack([degraded, clean], axis=1).ravel())
        else:
            self._ahead(degraded)
            self.source._ahead(clean)

    def _ahead(self, numbers: np.ndarray) -> None:
        if self.origin is not None:
            wanted = dict.fromkeys(numbers[numbers >= 0].tolist())
            self.origin.ahead(self.manifest.shards[number].name for number in wanted)

    def close(self) -> None:
        """Ends what is fetched in the background."""
        if self.origin is not None:
            self.origin.close()
        if self.source is not None:
            self.source.close()

    def image(self, row: int, side: Side, window: tiff.Window | None = None) -> np.ndarray:
        """The clean or the degraded image of a sample, H×W×C; of a `window` (top, left, height, width) its pixels.

        Only the tiles that the window touches are read. A damaged shard that another store has is fetched anew. Raises
        Damaged, which is noted in the folder, when the shard is not what the index says, DataError when it cannot be
        read or the sample has no such image, and ValueError for a window that does not lie in the image.
        """
        index = self.index
        member, key = index.member(row, side), index.keys[row]
        if member is None:
            what = "clean" if side == "gt" else "degraded"
            raise DataError(f"sample {key!r} has no {what} image", where=str(self.folder))
        if window is not None and not tiff.lies_in(window, member.height, member.width):
            raise ValueError(f"{window} does not lie in {key!r}, {member.height}×{member.width} pixels")
        owner = self if side == "lq" or self.source is None else self.source
        return owner._cut(member, side, index.places[side].keys[row], window)

    def _cut(self, member: Member, side: Side, key: str, window: tiff.Window | None) -> np.ndarray:
        with damage_noted(self.folder), true_hint(self.folder):
            try:
                return self._mended(member, side, key, window)
            except FileNotFoundError as error:
                raise damaged(str(self._path(member.shard)), "this shard is missing") from error
            except OSError as error:
                what = f"this shard cannot be read: {unread(error)}"
                raise unreadable(self._path(member.shard), error, what, again=AGAIN) from error
            except ValueError as error:
                what = f"the {side} image of sample {key!r} is damaged, or the shard is truncated ({error})"
                raise damaged(str(self._path(member.shard)), what) from error

    def _mended(self, member: Member, side: Side, key: str, window: tiff.Window | None) -> np.ndarray:
        """The pixels. Where they are damaged, the shard is fetched anew, if it can be, and they are read once more."""
        try:
            return self._pixels(member, side, key, window)
        except (OSError, ValueError) as error:
            if self.origin is None or (isinstance(error, OSError) and not is_damage(error)):
                raise
        self.origin.mend(file_of(self.manifest.shards[member.shard]))
        self._open.pop(member.shard, None)
        self._tables.pop((member.shard, member.offset, key), None)
        return self._pixels(member, side, key, window)

    def _pixels(self, member: Member, side: Side, key: str, window: tiff.Window | None) -> np.ndarray:
        shard = self.shard(member.shard)
        tiles = self._tiles(shard, member, side, key)
        return tiff.cut(lambda offset, length: shard.read(member.offset + offset, length), tiles, window)

    def _path(self, number: int) -> Path:
        """Where a shard lies on this machine."""
        return self.folder / self.manifest.shards[number].name

    def is_here(self, number: int) -> bool:
        """Whether a shard lies on this machine."""
        return self._path(number).is_file()

    def shard(self, number: int) -> Readable:
        """An open shard. All images are read through it."""
        found = self._open.get(number)
        if found is None:
            found = self._readable(number)
            with suppress(KeyError):
                while len(self._open) >= OPEN_SHARDS:
                    self._open.popitem(last=False)
            self._open[number] = found
        else:
            with suppress(KeyError):  # another thread may have let it go
                self._open.move_to_end(number)
        return found

    def _readable(self, number: int) -> Readable:
        if self.origin is None:
            return ShardFile(self._path(number))
        name = self.manifest.shards[number].name
        here = self.origin.local(name)
        return Distant(self.origin, name) if here is None else ShardFile(here)

    def _tiles(self, shard: Readable, member: Member, side: Side, key: str) -> tiff.Tiles:
        """Where the tiles of a member lie, after a look at its name and length in the tar file and its own header."""
        place = member.shard, member.offset, key
        tiles = self._tables.get(place)
        if tiles is None:
            geometry = tiff.Geometry(*member[3:])
            head = shard.read(member.offset - BLOCK, BLOCK + tiff.header_bytes(geometry))
            check_header(head[:BLOCK], member, side, key)
            tiles = tiff.table(geometry, head[BLOCK:], member.length)
            if self._kept > KEPT_TILES:
                self._tables, self._kept = {}, 0
            self._tables[place] = tiles
            self._kept += len(tiles.ends)
        return tiles


def open_set(stored: PreparedSet, data: Path, *, verify: bool = True) -> ShardSet:
    """Opens a prepared set below the data folder, and its source; `verify` compares every file with the manifests.

    Each file is hashed once, unless its size or time of change differs: what was verified is remembered in the process
    and, where the folder can be written, beside the shards (harness.data.verified). With `verify`, a damaged shard or
    index that another store has is fetched anew. Raises Damaged when the folder, a shard or the index is missing,
    truncated or other than the manifest says, DataError when a file cannot be read. With `verify`, Damaged is also
    noted in the folder (harness.core.damage), so that the next run prepares the set again.
    """
    source = None if stored.source is None else open_set(stored.source, data, verify=verify)
    folder = stored.folder(data)
    with damage_noted(folder, wanted=verify), true_hint(folder):
        return _opened(stored, folder, source, verify)


def _opened(stored: PreparedSet, folder: Path, source: ShardSet | None, verify: bool) -> ShardSet:
    manifest, sha256 = read_manifest(folder)
    path = str(folder / MANIFEST)
    if manifest.set.identity() != stored.identity():
        what = f"the manifest is of another set than {stored.name}/{stored.split}"
        raise Another(what, where=path, hint=AGAIN)
    if manifest.converter != CONVERTER:
        raise damaged(path, f"prepared by converter {manifest.converter}, this is converter {CONVERTER}")
    if sum(shard.samples for shard in manifest.shards) != manifest.samples:
        raise damaged(path, f"its shards do not add up to {manifest.samples} samples")
    if manifest.parents != (() if source is None else (source.manifest_sha256,)):
        raise damaged(path, "it was made of other clean images than are there now")
    opened = ShardSet(folder, manifest, sha256, source)
    if verify:
        with Verified(folder) as verified:
            for number, entry in enumerate(manifest.shards):
                if opened.origin is None or opened.is_here(number):
                    _verified(opened, entry, verified)
            _verified(opened, manifest.index, verified)
        verify_index(opened)
    return opened


def _verified(opened: ShardSet, entry: FileEntry, verified: Verified) -> None:
    """Compares a file with the manifest, and fetches a damaged one anew where another store has it."""
    try:
        verify_file(opened.folder / entry.name, entry, verified)
    except Damaged:
        if opened.origin is None:
            raise
        opened.origin.mend(file_of(entry))
