"""The values of one part of a test set, `<out>/jobs/<job>.scores`, until the evaluation has them on its cell's record.

A file is whole or not there. It begins with a digest of what follows, so that one that is damaged is not believed: a
digest of all that the values follow from, the seconds that they took, and their table.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from harness.core.identity import digest
from harness.core.outlast import outlast
from harness.core.paths import write_bytes
from harness.records.images import ImageRow, table_bytes
from harness.records.store import sha256_of

log = logging.getLogger(__name__)

_LINE = 64


class PartScores(NamedTuple):
    """What a part of a test set gave."""

    rows: list[ImageRow]
    seconds: float


def made_of(*content: object) -> str:
    """A digest of plain values: of all that the values of a part follow from."""
    return digest(content, _LINE)


def save_scores(path: Path, made: str, found: PartScores) -> None:
    """Leaves the values of a part. Raises as harness.core.paths.write_bytes and harness.records.images.table_bytes."""
    content = made.encode() + f"{found.seconds:.3f}\n".encode() + table_bytes(found.rows)
    write_bytes(path, sha256_of(content).encode() + content)


def load_scores(path: Path, made: str) -> PartScores | None:
    """The values of a part; None when there are none, or they are damaged or of something else."""
    import pyarrow
    from pyarrow import parquet

    try:
        found = outlast(path.read_bytes, path)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.warning("scored again, because %s cannot be read: %s", path, error.strerror)
        return None
    seal, content = found[:_LINE].decode("ascii", "replace"), found[_LINE:]
    if sha256_of(content) != seal:
        log.warning("scored again, because %s is damaged", path)
        return None
    if content[:_LINE].decode("ascii", "replace") != made:
        log.warning("scored again, because %s is of other weights, images or metrics", path)
        return None
    seconds, _, table = content[_LINE:].partition(b"\n")
    columns = parquet.ParquetFile(pyarrow.BufferReader(table)).read(use_threads=False).columns
    return PartScores(list(map(ImageRow, *(column.to_pylist() for column in columns))), float(seconds))


def remove_scores(paths: Iterable[Path]) -> None:
    """Removes what the evaluation has; what cannot be removed costs nothing but its room."""
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)
