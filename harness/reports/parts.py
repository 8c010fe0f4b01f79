"""The columns that a table has beside those of its test sets: groups of a set's images, and means over several sets.

Both are made of the same values as the columns of the sets. A group is told in the place of a condition: its column is
called `dpdd indoor`. A mean over sets (harness.api.averages) has a column where a row is asked for all of its sets
under one condition and protocol; every set counts once, and a seed that lacks one of them has no part in it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from harness.api.averages import members_of
from harness.reports.query import Measured

_TEXTS = ("reason", "overlap")
_SUMS = ("images", "infinite", "left_out")
_SET = ("dataset", "dataset_digest")
_SAME = ("condition", "protocol", "protocol_digest", "metric")
"""What the columns have in common over which a mean is taken."""


def with_groups(found: Measured) -> Measured:
    """The frames with a column for each group of each test set, after the column of the whole set."""
    grouped = found.images.filter(pl.col("group") != "")
    if grouped.is_empty():
        return found
    images = pl.concat([found.images, grouped.with_columns(condition=_called(pl.col("group")))])
    groups = grouped.select(*_SET, "group").unique().sort("group")
    places = found.coverage.with_row_index("place")
    added = places.join(groups, on=_SET, how="inner", maintain_order="left_right")
    added = added.with_columns(condition=_called(pl.col("group"))).drop("group")
    coverage = pl.concat([places, added]).sort("place", maintain_order=True).drop("place")
    return replace(found, images=images, coverage=coverage)


def _called(group: pl.Expr) -> pl.Expr:
    """The group, and the condition of its set where it has one: `indoor`, `indoor sigma=15`."""
    return pl.concat_str(group, "condition", separator=" ").str.strip_chars_end(" ")


def with_averages(seeds: pl.DataFrame) -> pl.DataFrame:
    """Rows of cells and columns, each with `mean` and `delta`, and such rows of the means over several sets after them.

    The mean of a cell is that of the means of its sets, and its difference to the base that of their differences, which
    are paired on images within each set; null where a set has none.
    """
    of_cells: dict[str, list[dict[str, Any]]] = {}
    for row in seeds.iter_rows(named=True):
        of_cells.setdefault(row["cell"], []).append(row)
    rows = [row for cells in of_cells.values() for row in (*cells, *_averages(cells))]
    return pl.DataFrame(rows, schema=seeds.schema, orient="row")


def _averages(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The means of one cell, from its rows."""
    sets: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        sets[tuple(row[key] for key in _SAME)][row["dataset"]].append(row)
    for named in sets.values():
        for name, members in members_of(named):
            yield _average(name, members)


def _average(name: str, members: list[Mapping[str, Any]]) -> dict[str, Any]:
    texts = {field: "; ".join(dict.fromkeys(filter(None, (row[field] for row in members)))) for field in _TEXTS}
    return {
        **members[0],
        **{key: _sum([row[key] for row in members]) for key in _SUMS},
        **{key: _mean([row[key] for row in members]) for key in ("mean", "delta")},
        **{field: text or None for field, text in texts.items()},
        "dataset": name,
        "dataset_label": name,
        "dataset_digest": "",
    }


def _sum(values: list[int | None]) -> int | None:
    there = [value for value in values if value is not None]
    return sum(there) if len(there) == len(values) else None


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if len(there) == len(values) else None
