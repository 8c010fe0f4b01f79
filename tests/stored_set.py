"""Prepared sets made of given arrays, without a data set: for tests and benchmarks of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.core.identity import file_sha256, sealed
from harness.core.paths import write_json
from harness.data.index import INDEX, write_index
from harness.data.manifest import CONVERTER, MANIFEST, FileEntry, Manifest, ShardEntry
from harness.data.shards import ShardSet, open_set
from harness.data.write import ShardWriter

BASE = PreparedSet(dataset=PartRef(name="arrays"), split="train")
BLURRED = PreparedSet(dataset=PartRef(name="arrays"), split="train", degradation=PartRef(name="blur"))


def picture(number: int, height: int, width: int, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    """Random pixels; floats on both sides of 0."""
    random = np.random.default_rng(number)
    if dtype == "float32":
        return random.normal(size=(height, width, channels)).astype(np.float32)
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def store(
    stored: PreparedSet,
    samples: Sequence[dict[str, Any]],
    data: Path,
    *,
    source: ShardSet | None = None,
    per_shard: int = 3,
) -> ShardSet:
    """Writes a set of `samples`, the arguments of ShardWriter.add, and opens it."""
    folder = stored.folder(data)
    folder.mkdir(parents=True)
    rows, shards = [], []
    for number, first in enumerate(range(0, len(samples), per_shard)):
        path = folder / f"{number:06d}.tar"
        with ShardWriter(path) as writer:
            for sample in samples[first : first + per_shard]:
                writer.add(**sample)
            own = writer.finish()
        rows += own
        shards.append(ShardEntry(**entry(path), samples=len(own)))
    write_index(folder / INDEX, rows)
    manifest = Manifest(
        converter=CONVERTER,
        set=stored,
        licence="made by the tests",
        images=len(rows),
        samples=len(rows),
        bytes=sum(shard.bytes for shard in shards),
        index=FileEntry(**entry(folder / INDEX)),
        shards=tuple(shards),
        parents=() if source is None else (source.manifest_sha256,),
    )
    write_json(folder / MANIFEST, sealed(manifest.identity()))
    return open_set(stored, data)


def entry(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"name": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size}
