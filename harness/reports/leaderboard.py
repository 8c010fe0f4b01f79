"""The table of results: a section per task, a row per backbone and variant, a column per test set and metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from harness.api.averages import AVERAGES
from harness.api.reference import EXAMPLE_MARK
from harness.cells.published import PublishedNumber
from harness.cells.suite import ResolvedSuite, metric_title
from harness.core.errors import UnknownName
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.planning.assess import Assessment
from harness.records.labels import DIGITS
from harness.reports.aggregate import ROW, RowKey, TableEntry, entries
from harness.reports.parts import with_groups
from harness.reports.query import Measured, query
from harness.reports.rescored import Rescored, rescored
from harness.results.columns import Column
from harness.results.frames import Results
from harness.results.schema import COLUMN
from harness.results.suites import stored_suites
from harness.storage.copies import shown_place

_EARLIER = "earlier release"

DECIMALS = 4
"""Decimals of metrics whose part is gone."""


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is written."""

    title: str
    """Its label, with unit and direction."""
    decimals: int


@dataclass(frozen=True)
class Row:
    """One line: a backbone and variant over its seeds. `entries` has no key where nothing was asked for."""

    backbone: str
    variant: str
    added_parameters: int | None
    entries: Mapping[Column, TableEntry]
    key: RowKey = ()
    """What its cells share; what is published of them is found by it."""


@dataclass(frozen=True)
class Section:
    """One task. Its first row is the degraded input."""

    task: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Leaderboard:
    """All sections, and how to write each metric and data set."""

    sections: tuple[Section, ...]
    styles: Mapping[str, MetricStyle]
    """By the metric's key."""
    datasets: Mapping[tuple[str, str], str]
    """Name of a data set by (name, digest): the beginning of the digest is added where two sets share a name."""
    protocols: Mapping[tuple[str, str], str]
    """Label of a protocol by (label, digest), likewise."""
    warnings: tuple[str, ...] = ()
    """What its means over several sets are, and why its numbers may not be comparable; a sentence each."""
    published: tuple[Rescored, ...] = ()
    """Published numbers, each beside what was measured in its place: a table of its own."""

    def dataset(self, column: Column) -> str:
        """What is called a test set in tables: the data set, and its condition where it has one, `photos sigma=15`."""
        return f"{self.datasets[column.dataset, column.dataset_digest]} {column.condition}".rstrip()

    def protocol(self, column: Column) -> str:
        return self.protocols[column.protocol, column.protocol_digest]


def leaderboard(layout: Layout, suite: str | None = None, registry: Registry = REGISTRY) -> Leaderboard:
    """The table of one suite that has been run in a folder of results, or of all of them."""
    suites = [stored for stored in stored_suites(layout) if suite in (None, stored.name)]
    if not suites:
        what = f"suite {suite!r} has not been run here"
        raise UnknownName(what, where=shown_place(layout.out), hint=f"bench run {suite}")
    return board_of(suites, layout, registry)


def board_of(
    suites: Sequence[ResolvedSuite],
    layout: Layout,
    registry: Registry = REGISTRY,
    known: Mapping[str, Assessment] | None = None,
) -> Leaderboard:
    """The table of some suites, from the records below `layout`. `known`: see harness.results.frames.Results."""
    labels = {digest: label for suite in reversed(suites) for digest, label in suite.dataset_labels.items()}
    results = Results(suites, layout, registry, known=known)
    board = build(query(results), labels, [number for suite in suites for number in suite.published])
    return replace(board, warnings=(*board.warnings, *results.warnings()))


def build(
    found: Measured, labels: Mapping[str, str] | None = None, printed: Sequence[PublishedNumber] = ()
) -> Leaderboard:
    """The table of what a query found. Order: tasks, backbones, variants and columns as they first appear.

    `labels`: what tables call data sets, by digest (`ResolvedSuite.dataset_labels`). `printed`: what is published of
    its cells.
    """
    found = with_groups(found)
    numbers = entries(found)
    cells = found.cells.partition_by("task", "task_digest", as_dict=True, maintain_order=True)
    asked = found.coverage.join(found.cells.select("cell", *ROW), on="cell", how="left", maintain_order="left")
    columns: dict[tuple[Any, ...], tuple[Column, ...]] = {
        task: tuple(Column(*values) for values in group.select(*COLUMN).unique(maintain_order=True).iter_rows())
        for task, group in asked.partition_by("task", "task_digest", as_dict=True, maintain_order=True).items()
    }
    for row, column in numbers:  # those of means over several sets
        columns[row[:2]] = tuple(dict.fromkeys((*columns[row[:2]], column)))
    sections = tuple(
        Section(name, columns.get(task, ()), _rows(group, columns.get(task, ()), numbers))
        for name, (task, group) in zip(_titles(cells), cells.items(), strict=True)
    )
    every = [column for each in columns.values() for column in each]
    sets = _called(((column.dataset, column.dataset_digest) for column in every), labels or {})
    protocols = _called((column.protocol, column.protocol_digest) for column in every)
    told = (*_averages(every), *_warnings(found.cells))
    units = {row["metric"]: row["unit"] or "" for row in _dicts(found.metrics)}
    published = rescored(printed, found.cells, numbers, units)
    return Leaderboard(sections, _styles(found.metrics), sets, protocols, told, published)


def _averages(columns: Iterable[Column]) -> list[str]:
    """What the means over several test sets are."""
    named = dict.fromkeys(column.dataset for column in columns if not column.dataset_digest)
    bare = {name: AVERAGES[name.removesuffix(EXAMPLE_MARK)] for name in named}
    return [f"{name}: the mean of the means over {', '.join(sets)}, each set once." for name, sets in bare.items()]


def _titles(cells: Mapping[tuple[Any, ...], pl.DataFrame]) -> list[str]:
    """What tables call tasks. Those of earlier releases say so where there are present ones of the same name."""
    present = {task for (task, _), group in cells.items() if not group["earlier"].all()}
    old = {key for key, group in cells.items() if group["earlier"].all() and key[0] in present}
    return _distinct((f"{key[0]} ({_EARLIER})" if key in old else key[0], key[1]) for key in cells)


def _called(named: Iterable[tuple[str, str]], labels: Mapping[str, str] | None = None) -> dict[tuple[str, str], str]:
    """What tables call each (name, digest): the label of its digest, else its name."""
    pairs = list(dict.fromkeys(named))
    shown = [((labels or {}).get(content, name), content) for name, content in pairs]
    return dict(zip(pairs, _distinct(shown), strict=True))


def _warnings(cells: pl.DataFrame) -> Iterator[str]:
    """Sums of floats depend on the number of threads, and so do trained weights; the input has none."""
    old = cells.filter("earlier")["task"].unique(maintain_order=True)
    if len(old):
        yield f"{', '.join(old)}: cells of an {_EARLIER}, whose images were cut and degraded before the training; \
no present cell is compared with them."
    made = cells.filter(pl.col("network").is_not_null(), pl.col("threads").is_not_null())
    counts = made["threads"].value_counts().sort("threads")
    if len(counts) > 1:
        told = ", ".join(f"{row['count']} with {row['threads']}" for row in _dicts(counts))
        what = f"These cells were not all made with the same number of threads ({told})"
        yield f"{what}, on which sums of floats, and so trained weights, depend."


def _styles(metrics: pl.DataFrame) -> dict[str, MetricStyle]:
    """How each metric is written, by its key."""
    shared = metrics["label"].is_duplicated()
    return {row["metric"]: _style(row, named=not double) for row, double in zip(_dicts(metrics), shared, strict=True)}


def _style(metric: Mapping[str, Any], *, named: bool) -> MetricStyle:
    """Titled by its label if no other metric has it (`named`), else by its name in capitals and its options."""
    label, key, name = metric["label"], metric["metric"], metric["part"]
    title = metric_title(label if named else key, key, name)
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    direction = {True: " ↑", False: " ↓"}.get(metric["higher_is_better"], "")
    return MetricStyle(f"{title}{unit}{direction}", DECIMALS if metric["decimals"] is None else metric["decimals"])


def _dicts(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return list(frame.iter_rows(named=True))


def _distinct(named: Iterable[tuple[str, str]]) -> list[str]:
    """The names of (name, digest) pairs; where two share a name, with the beginning of the digest."""
    pairs = list(named)
    count = Counter(name for name, _ in pairs)
    return [f"{name} [{content[:DIGITS]}]" if count[name] > 1 else name for name, content in pairs]


def _rows(
    cells: pl.DataFrame, columns: Sequence[Column], numbers: Mapping[tuple[RowKey, Column], TableEntry]
) -> tuple[Row, ...]:
    """The rows of one task, the input first, then backbone by backbone."""
    is_network, first_seen = pl.col("network").is_not_null(), pl.int_range(pl.len()).min().over("backbone")
    added = pl.col("added_parameters").drop_nulls().first()
    ordered = cells.sort(is_network, first_seen, maintain_order=True)
    rows = _dicts(ordered.group_by(*ROW, maintain_order=True).agg(added))
    variants = _distinct((f"{row['backbone']}\n{row['variant']}", row["configuration"]) for row in rows)
    return tuple(
        Row(
            row["backbone"],
            variant.partition("\n")[2],
            row["added_parameters"],
            {column: found for column in columns if (found := numbers.get((_key(row), column))) is not None},
            _key(row),
        )
        for row, variant in zip(rows, variants, strict=True)
    )


def _key(row: Mapping[str, Any]) -> RowKey:
    return tuple(row[name] for name in ROW)
