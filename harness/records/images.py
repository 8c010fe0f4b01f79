"""Per-image metrics as rows, and as the bytes of `images.parquet`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from harness.records.model import IMAGE_COLUMNS

if TYPE_CHECKING:
    import pyarrow


class ImageRow(NamedTuple):
    """One row of images.parquet, as IMAGE_COLUMNS."""

    evaluation: str
    dataset: str
    key: str
    metric: str
    value: float
    scene: str | None = None
    """The scene that the image is of; None in rows of earlier releases."""
    group: str = ""
    """The group of its test set that also has an average of its own, as `indoor`; empty for most."""


def _table(rows: Iterable[ImageRow]) -> pyarrow.Table:
    """Sorted rows as a table. Raises ValueError for a value that is not a number and for a row given twice."""
    import pyarrow

    ordered = sorted((ImageRow(*row) for row in rows), key=lambda row: row[:4])
    for row in ordered:
        if math.isnan(row.value):
            raise ValueError(f"{row.metric} of {row.dataset}/{row.key} is not a number")
    for row, following in pairwise(ordered):
        if row[:4] == following[:4]:
            raise ValueError(f"{row.metric} of {row.dataset}/{row.key} is given twice")
    types = [pyarrow.string()] * 4 + [pyarrow.float64(), pyarrow.string(), pyarrow.string()]
    columns = zip(*ordered, strict=True) if ordered else ((),) * len(IMAGE_COLUMNS)
    arrays = [pyarrow.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
    return pyarrow.table(arrays, names=list(IMAGE_COLUMNS))


def table_bytes(rows: Iterable[ImageRow]) -> bytes:
    """Per-image metrics as a file holds them. The same rows in any order give the same bytes.

    Raises ValueError for NaN and for a row given twice.
    """
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(_table(rows), sink, compression="zstd", version="2.6", row_group_size=1 << 20)
    return bytes(sink.getvalue().to_pybytes())
