"""What tables have columns for, and the per-image values in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import IO, NamedTuple

import polars as pl

from harness.api.sets import TestSet
from harness.cells.suite import DATASET_DIGITS
from harness.core.errors import DataError
from harness.core.identity import text_digest
from harness.core.paths import Layout
from harness.records import store
from harness.records.labels import condition_text
from harness.records.model import IMAGE_COLUMNS, RunRecord
from harness.results.schema import COLUMN, IMAGE

VALUES = pl.Schema({"cell": pl.String(), **COLUMN, **IMAGE})

_TABLE = pl.Schema({name: pl.Float64() if name == "value" else pl.String() for name in IMAGE_COLUMNS})
"""Of a table of images."""

Value = tuple[str, str]
"""The id of an evaluation, and the key of a metric."""


class Column(NamedTuple):
    """One metric of one test set under one condition and one protocol."""

    dataset: str
    dataset_digest: str
    """Digest of the data set's reference, because two data sets may share a name."""
    condition: str
    """`sigma=15`; empty for most."""
    protocol: str
    """`<name>/v<version>`."""
    protocol_digest: str
    """Digest of the protocol's content, because two protocols of plug-ins may share name and version."""
    metric: str
    """The metric's key."""


Asked = Sequence[tuple[Value, Column]]
"""Columns, each with the value that fills it. One value may fill several: of conditions that make the same inputs."""


def column_of(test: TestSet, protocol: str, protocol_digest: str, metric: str) -> Column:
    """The column of a metric of a test set. `protocol`: its label."""
    content = text_digest(test.dataset.canonical, DATASET_DIGITS)
    return Column(test.dataset.called, content, condition_text(test.condition), protocol, protocol_digest, metric)


_AT_ONCE = 1 << 26
"""Bytes of tables that are read together."""


class Tables:
    """Gathers the per-image tables of cells, so that they become one frame by one join: no two cells share the id of an
    evaluation.

    Many tables are read by one call: to open thousands of small ones, one by one, takes three times as long.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.faults: dict[str, DataError] = {}
        """By cell id, why a table that was added has no values; known once `values` has been asked for."""
        self._waiting: list[tuple[RunRecord, bytes]] = []
        self._size = 0
        self._frames: list[pl.DataFrame] = []
        self._columns: list[tuple[str, ...]] = []

    def add(self, record: RunRecord, columns: Asked) -> None:
        """Adds columns of a record. Raises DataError when its table is not the file that the record names."""
        if columns:
            content = store.read_images(self.layout, record)
            self._waiting.append((record, content))
            self._size += len(content)
            if self._size > _AT_ONCE:
                self._read()
            asked = dict.fromkeys((evaluation, column) for (evaluation, _), column in columns)
            means = {evaluation.id: evaluation.mean for evaluation in record.evaluations}
            self._columns += [(evaluation, record.cell_id, *column, means[evaluation]) for evaluation, column in asked]

    def values(self) -> pl.DataFrame:
        """A frame of the schema VALUES."""
        self._read()
        if not self._frames:
            return VALUES.to_frame()
        table = pl.concat(self._frames)
        schema = {"evaluation": pl.String(), "cell": pl.String(), **COLUMN, "mean": pl.String()}
        columns = pl.DataFrame(self._columns, schema, orient="row")
        joined = table.drop("dataset").join(columns, on=["evaluation", "metric"], maintain_order="left")
        return joined.rename({"key": "image"}).select(*VALUES)

    def _read(self) -> None:
        """Makes a frame of the tables that wait."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if not waiting:
            return
        try:
            files: list[IO[bytes]] = [BytesIO(content) for _, content in waiting]
            found = pl.read_parquet(files, glob=False)
            if found.schema == _TABLE:
                self._frames.append(found)
                return
        except pl.exceptions.PolarsError:
            pass  # some are of earlier releases, or not what they should be
        self._frames += self._one_by_one(waiting)

    def _one_by_one(self, waiting: Iterable[tuple[RunRecord, bytes]]) -> list[pl.DataFrame]:
        found = []
        for record, content in waiting:
            try:
                found.append(pl.DataFrame(store.table_of(self.layout, record, content), schema=_TABLE))
            except DataError as error:
                self.faults[record.cell_id] = error
        return found
