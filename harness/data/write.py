"""Writes the shards of a prepared set: pairs of images become tar files and an index. Same pairs, same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.data.index import INDEX, INDEX_SCHEMA, SampleRow
from harness.data.members import Codec, encode, member_name
from harness.data.shards import FileEntry, ShardEntry

SHARD_SAMPLES = 256
"""Samples per shard: enough to read a shard in one go, few enough that small sets have several shards to shuffle."""
SHARD_BYTES = 96 * 2**20
"""A shard is closed at this size, however few samples it has: whole images are large."""


class ShardWriter:
    """Fills `000000.tar`, `000001.tar`, … in a folder; `finish` writes the index. A context manager, used once."""

    def __init__(self, folder: Path, *, lq_codec: Codec, gt_codec: Codec, shard_samples: int = SHARD_SAMPLES) -> None:
        self.folder, self.shard_samples = folder, shard_samples
        self._codecs = {"lq": lq_codec, "gt": gt_codec}
        self._shard: tarfile.TarFile | None = None
        self._keys: set[str] = set()
        self._rows: list[SampleRow] = []
        self._shards: list[ShardEntry] = []
        self._position = 0

    def add(
        self, key: str, lq: np.ndarray, gt: np.ndarray, *, image: str, scene: str, facts: dict[str, object]
    ) -> None:
        """Appends a pair of H×W×3 images; `facts` go into its JSON member.

        Raises DataError when the two differ in size, or another sample has the key.
        """
        if lq.shape != gt.shape:
            sizes = " and ".join("×".join(map(str, picture.shape)) for picture in (lq, gt))
            raise DataError(f"the degraded and the clean image differ in size: {sizes}", where=f"sample {key!r}")
        if key in self._keys:
            raise DataError("two samples have this key", where=f"sample {key!r}", hint="rename one of the images")
        self._keys.add(key)
        shard = self._open()
        self._rows.append(SampleRow(key, image, scene, len(self._shards), self._position))
        name = member_name(key)
        for side, picture in (("lq", lq), ("gt", gt)):
            _member(shard, f"{name}.{side}.{self._codecs[side]}", encode(picture, self._codecs[side]))
        text = json.dumps({"key": key, "image": image, "scene": scene, **facts}, sort_keys=True, ensure_ascii=False)
        _member(shard, f"{name}.json", text.encode())
        self._position += 1
        if self._position == self.shard_samples or shard.offset >= SHARD_BYTES:
            self._close()

    def finish(self) -> tuple[FileEntry, tuple[ShardEntry, ...]]:
        """Closes the last shard and writes the index. Returns the entries of the index and of every shard."""
        self._close()
        columns = [list(column) for column in zip(*self._rows, strict=True)] or [[] for _ in INDEX_SCHEMA]
        path = self.folder / INDEX
        pq.write_table(pa.table(columns, schema=INDEX_SCHEMA), path, compression="zstd")
        return FileEntry(name=INDEX, sha256=file_sha256(path), bytes=path.stat().st_size), tuple(self._shards)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """Closes a shard that an error left open. On a full disk even closing fails; the folder is removed anyway."""
        if self._shard is not None and self._shard.fileobj is not None:
            with suppress(OSError):
                self._shard.fileobj.close()

    def _open(self) -> tarfile.TarFile:
        if self._shard is None:
            path = self.folder / f"{len(self._shards):06d}.tar"
            self._shard = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - spans many calls
        return self._shard

    def _close(self) -> None:
        if self._shard is None:
            return
        self._shard.close()
        path = self.folder / f"{len(self._shards):06d}.tar"
        size = path.stat().st_size
        entry = ShardEntry(name=path.name, sha256=file_sha256(path), bytes=size, samples=self._position)
        self._shards.append(entry)
        self._shard, self._position = None, 0


def _member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    """Appends a member. Its header has no time and no owner: it depends on name and content alone."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mode = 0o644
    shard.addfile(header, io.BytesIO(content))
