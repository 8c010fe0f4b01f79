"""The index of a prepared set, `index.parquet`: one row per sample, in shard order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.damage import is_damage
from harness.core.errors import Damaged, DataError

INDEX = "index.parquet"
INDEX_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "image", "scene")] + [(name, pa.int32()) for name in ("shard", "position")]
)


class SampleRow(NamedTuple):
    """One line of the index: where a sample lies, and which image it comes from."""

    key: str
    image: str
    """Key of the source image; tiles of one image share it."""
    scene: str
    shard: int
    position: int
    """Place in the shard, from 0."""


class Rows(Sequence[SampleRow]):
    """The rows of the index, in shard order. A row is built from its Arrow columns when read: sets have millions."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> SampleRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[SampleRow]: ...
    def __getitem__(self, index: int | slice) -> SampleRow | list[SampleRow]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [self[place] for place in range(start, stop, step)]
            return list(Rows(self._table.slice(start, max(stop - start, 0))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return SampleRow(*(column[index % len(self)].as_py() for column in self._table.columns))

    def __iter__(self) -> Iterator[SampleRow]:
        for batch in self._table.to_batches(max_chunksize=65536):
            yield from map(SampleRow, *(column.to_pylist() for column in batch.columns))


def read_index(path: Path) -> pa.Table:
    """The index as a table. Raises DataError when it cannot be read or has other columns."""
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise unreadable(path, error, f"the index cannot be read ({error})") from error
    except pa.ArrowInvalid as error:
        raise damaged(str(path), f"the index cannot be read ({error})") from error
    if table.schema != INDEX_SCHEMA:
        raise damaged(str(path), f"the index has other columns than {', '.join(INDEX_SCHEMA.names)}")
    return table


def damaged(path: str, what: str) -> Damaged:
    """The error for a file of a prepared set that is not what was written."""
    return Damaged(what, where=path, hint="bench run SUITE prepares this set again")


def unreadable(path: Path, error: OSError, what: str) -> DataError:
    """The error for a file that cannot be read: it is damaged only where that will stay so."""
    if is_damage(error):
        return damaged(str(path), what)
    return DataError(what, where=str(path), hint="see that it can be read, then run the same command again")
