"""Published numbers beside what this harness measures of the same weights: a table of its own in every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from harness.api.reference import EXAMPLE_MARK
from harness.cells.published import PublishedNumber
from harness.core.wording import marked
from harness.records.labels import condition_text
from harness.reports.aggregate import ROW, RowKey, TableEntry
from harness.results.columns import Column

TOLERANCE = {"dB": 0.02}
"""By the metric's unit: how far a measured number may be from the published one and still reproduces it."""
USUAL_TOLERANCE = 0.0005
"""Of metrics of other units."""
RULE = (
    f"reproduced: within {TOLERANCE['dB']} dB, or within {USUAL_TOLERANCE} for metrics without a unit, "
    "over the whole test set. Published numbers are those of their sources, and in no other table or mean."
)
_EXAMPLE = EXAMPLE_MARK.strip(" ()")
TITLES = ("network", "test set", "metric", "protocol", "published", "measured", "difference", "verdict", "source")


@dataclass(frozen=True)
class Rescored:
    """One published number, and what was measured in its place."""

    row: RowKey
    column: Column | None
    """The column of the measured number; None where the suite asks for none."""
    network: str
    test: str
    """The test set, with its group and condition."""
    metric: str
    protocol: str
    published: float
    measured: float | None
    verdict: str
    """`reproduced`, `differs`, `example`, or why it is not measured."""
    source: str

    @property
    def difference(self) -> float | None:
        """Measured − published; None where nothing is to be compared."""
        return None if self.measured is None or self.verdict == "example" else self.measured - self.published


def rescored(
    printed: Sequence[PublishedNumber],
    cells: pl.DataFrame,
    numbers: Mapping[tuple[RowKey, Column], TableEntry],
    units: Mapping[str, str],
) -> tuple[Rescored, ...]:
    """Every published number once, in the suites' order. `units`: of metrics, by key. Cells that no suite lists, and
    metrics that none has, are left out."""
    rows = {row["cell"]: tuple(row[name] for name in ROW) for row in cells.iter_rows(named=True)}
    by_row: dict[RowKey, list[tuple[Column, TableEntry]]] = {}
    for (row, column), entry in numbers.items():
        by_row.setdefault(row, []).append((column, entry))
    unique = {each.model_dump_json(): each for each in printed if each.cell in rows and each.metric in units}
    return tuple(_compared(each, rows[each.cell], by_row, units[each.metric]) for each in unique.values())


def _compared(
    each: PublishedNumber,
    row: RowKey,
    by_row: Mapping[RowKey, list[tuple[Column, TableEntry]]],
    unit: str,
) -> Rescored:
    condition = " ".join(filter(None, (each.group, condition_text(each.condition))))
    found = list(_found(each, condition, by_row.get(row, [])))
    column, entry = found[0] if found else (None, None)
    tested = column is not None and column.dataset.endswith(EXAMPLE_MARK)
    measured = entry.score.mean if entry is not None and entry.score is not None else None
    named = dict(zip(ROW, row, strict=True))
    trained = any(marked(named[axis], [_EXAMPLE]) == named[axis] for axis in ("task", "variant"))
    network = " ".join(dict.fromkeys((named["backbone"], named["variant"]))).removesuffix(" base")
    return Rescored(
        row=row,
        column=column,
        network=marked(network, [_EXAMPLE] * trained),
        test=f"{each.test}{EXAMPLE_MARK if tested else ''} {condition}".rstrip(),
        metric=each.metric,
        protocol=each.protocol,
        published=each.value,
        measured=measured,
        verdict=_verdict(each, entry, tested or trained, measured, unit),
        source=each.source,
    )


def _found(
    each: PublishedNumber, condition: str, columns: Sequence[tuple[Column, TableEntry]]
) -> Iterator[tuple[Column, TableEntry]]:
    for column, entry in columns:
        name, protocol = column.dataset.removesuffix(EXAMPLE_MARK), column.protocol.partition("/")[0]
        wanted = (each.test, each.protocol, each.metric, condition)
        if (name, protocol, column.metric, column.condition) == wanted:
            yield column, entry


def _verdict(each: PublishedNumber, entry: TableEntry | None, example: bool, measured: float | None, unit: str) -> str:
    if entry is None:
        why = f"the suite does not score it under {each.protocol}"
        return f"not measured: {why} · try: --set 'protocols=[{each.protocol}]'"
    if measured is None or not math.isfinite(measured):
        return f"not measured: {entry.reason or 'no images'}"
    if example:
        return "example"
    if entry.left_out:
        return f"not comparable: {entry.left_out} of {entry.images} images left out"
    if entry.seeds < entry.wanted:
        return f"not comparable: {entry.wanted - entry.seeds} of {entry.wanted} seeds missing"
    near = abs(measured - each.value) <= TOLERANCE.get(unit, USUAL_TOLERANCE) + 1e-9
    return "reproduced" if near else "differs"
