"""One shard on this machine: its bytes, and what its tar headers say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from harness.core.outlast import outlast
from harness.data.index import Member, Side
from harness.data.members import member_name

BLOCK = 512
"""Bytes of a tar header; it lies right before the content of its member."""


class Readable(Protocol):
    """Where the bytes of a shard come from. Threads use one together."""

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on; fewer at the end of the shard. Raises OSError when it cannot be read."""


class ShardFile:
    """An open shard, closed when nobody holds it any more. Threads and forked processes may share it: a read names its
    place, and leaves none behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = outlast(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on; fewer at the end of the file."""
        return outlast(lambda: self._read(offset, length), self._path)

    def _read(self, offset: int, length: int) -> bytes:
        content = os.pread(self._descriptor, length, offset)
        while 0 < len(content) < length:  # a network file system may give less than there is
            more = os.pread(self._descriptor, length - len(content), offset + len(content))
            if not more:
                break
            content += more
        return content

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def check_header(block: bytes, member: Member, side: Side, key: str) -> None:
    """Compares the tar header before a member with the index: its length, its side, and the key that it is called
    by (harness.data.index.Places). Raises ValueError when they disagree."""
    name = block[:100].rstrip(b"\0").decode("ascii", "replace")
    size = block[124:136].rstrip(b"\0 ")
    if not size.isdigit() or int(size, 8) != member.length or not (len(name) == 100 or name.endswith(f".{side}.tif")):
        raise ValueError("the index names a place where the shard has no such member")
    if name != f"{member_name(key)}.{side}.tif"[:100]:
        raise ValueError(f"the index names a place where the shard has {name!r}")
