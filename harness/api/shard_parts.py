"""In which shards a prepared set is stored, in which parts they are made, and where they wait until it is whole.

How many there are follows from the keys of a split alone, so that planning knows them before any image is read.
"""

from __future__ import annotations

from pathlib import Path

from harness.api.sets import PreparedSet

SHARD_IMAGES = 64
"""Images of a shard; the last one of a set may have fewer."""
UNDIVIDED = 2
"""A set of at most so many shards is made by one job."""
MOST_PARTS = 32
"""Jobs that make shards of one set, at most."""
NOTE = "shard.json"
"""The description of a shard that waits for its set."""


def shards_of(images: int) -> int:
    """How many shards a set of so many images has."""
    return -(-images // SHARD_IMAGES)


def parts_of(images: int) -> int:
    """How many jobs make the shards of a set of so many images; 1: the job that makes the set makes them, too."""
    shards = shards_of(images)
    return min(shards, MOST_PARTS) if shards > UNDIVIDED else 1


def shards_in(part: int, parts: int, shards: int) -> range:
    """The shards of one part, 1 to `parts`: equal shares of all, up to one more or less, one after the other."""
    return range(shards * (part - 1) // parts, shards * part // parts)


def waiting_folder(stored: PreparedSet, data: Path) -> Path:
    """Where the finished shards of a set wait until all are there: `.<split>.parts`, beside the set's folder."""
    folder = stored.folder(data)
    return folder.with_name(f".{folder.name}.parts")


def waiting_shard(stored: PreparedSet, data: Path, shard: int) -> Path:
    """The folder of one finished shard, which holds its tar file and the note."""
    return waiting_folder(stored, data) / f"{shard:06d}"
