"""Whether a prepared set is what its manifest says. All raise Damaged, or DataError for a file that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.core.damage import unreadable
from harness.core.outlast import outlast
from harness.core.paths import unread
from harness.data.index import AGAIN, INDEX, Side, damaged
from harness.data.shard_file import BLOCK, check_header
from harness.data.verified import Verified

if TYPE_CHECKING:
    from harness.data.manifest import FileEntry
    from harness.data.shards import ShardSet


def verify_file(path: Path, entry: FileEntry, verified: Verified) -> None:
    """Whether a file is the one that the manifest names."""
    try:
        size = outlast(path.stat, path).st_size
        found = verified.sha256(path) if size == entry.bytes else ""
    except FileNotFoundError:
        raise damaged(str(path), "a file of the prepared set is missing") from None
    except OSError as error:
        raise unreadable(path, error, f"cannot be read: {unread(error)}", again=AGAIN) from error
    if size != entry.bytes:
        raise damaged(str(path), f"truncated or changed: {size} bytes, not {entry.bytes}")
    if found != entry.sha256:
        raise damaged(str(path), f"changed: sha256 is {found[:12]}…, the manifest says {entry.sha256[:12]}…")


def verify_index(opened: ShardSet) -> None:
    """Whether the index names as many samples as the manifest, all within the shards, and what lies there: of every
    shard the first sample and the last are looked at."""
    index, shards = opened.index, opened.manifest.shards
    path = str(opened.folder / INDEX)
    own = index.shards
    known = (own >= 0) & (own < len(shards))
    if not known.all() or np.bincount(own, minlength=len(shards)).tolist() != [shard.samples for shard in shards]:
        raise damaged(path, "the index and the manifest count other samples")
    if (np.diff(own) < 0).any() or len(set(index.keys)) != len(index):
        raise damaged(path, "its samples are not in order, or two have one key")
    sides: tuple[Side, ...] = ("lq",) if opened.source is not None else ("gt", "lq")
    ends = np.cumsum([shard.samples for shard in shards])
    for side in sides:
        if not index.places[side].lie_in([shard.bytes for shard in shards]):
            raise damaged(path, f"it names {side} images that lie beyond the end of a shard, or have no such pixels")
        for number, (entry, end) in enumerate(zip(shards, ends.tolist(), strict=True)):
            if entry.samples and opened.is_here(number):
                _verify_names(opened, side, first=end - entry.samples, last=end - 1)


def _verify_names(opened: ShardSet, side: Side, *, first: int, last: int) -> None:
    """Whether two samples of one shard lie where the index says."""
    for row in (first, last):
        member = opened.index.member(row, side)
        if member is None:
            continue
        key = opened.index.places[side].keys[row]
        try:
            block = opened.shard(member.shard).read(member.offset - BLOCK, BLOCK)
            check_header(block, member, side, key)
        except OSError as error:
            path = opened.folder / opened.manifest.shards[member.shard].name
            raise unreadable(path, error, f"this shard cannot be read: {unread(error)}", again=AGAIN) from error
        except ValueError as error:
            raise damaged(str(opened.folder / INDEX), f"sample {key!r}, {side}: {error}") from error
