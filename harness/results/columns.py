"""What tables have columns for, and the per-image values in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from harness.api.sets import TestSet
from harness.cells.suite import DATASET_DIGITS
from harness.core.identity import text_digest
from harness.core.paths import Layout
from harness.records import store
from harness.records.labels import condition_text
from harness.records.model import RunRecord
from harness.results.schema import COLUMN, IMAGE

if TYPE_CHECKING:
    import pyarrow

VALUES = pl.Schema({"cell": pl.String(), **COLUMN, **IMAGE})

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


class Tables:
    """Gathers the per-image tables of cells, so that they become one frame by one join: no two cells share the id of an
    evaluation.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._tables: list[pyarrow.Table] = []
        self._columns: list[tuple[str, ...]] = []

    def add(self, record: RunRecord, columns: Asked) -> None:
        """Adds columns of a record. Raises DataError when its table is not sound."""
        if columns:
            self._tables.append(store.images_of(self.layout, record))
            asked = dict.fromkeys((evaluation, column) for (evaluation, _), column in columns)
            means = {evaluation.id: evaluation.mean for evaluation in record.evaluations}
            self._columns += [(evaluation, record.cell_id, *column, means[evaluation]) for evaluation, column in asked]

    def values(self) -> pl.DataFrame:
        """A frame of the schema VALUES."""
        if not self._tables:
            return VALUES.to_frame()
        import pyarrow

        table = pl.DataFrame(pyarrow.concat_tables(self._tables))
        schema = {"evaluation": pl.String(), "cell": pl.String(), **COLUMN, "mean": pl.String()}
        columns = pl.DataFrame(self._columns, schema, orient="row")
        joined = table.drop("dataset").join(columns, on=["evaluation", "metric"], maintain_order="left")
        return joined.rename({"key": "image"}).select(*VALUES)
