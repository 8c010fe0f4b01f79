"""CSV for programs: every number with its spread, seeds and images."""

from __future__ import annotations

import csv
import io

from harness.reports.aggregate import Spread
from harness.reports.leaderboard import Leaderboard, Row
from harness.reports.rescored import Rescored
from harness.reports.text import number, remarks
from harness.results.columns import Column

CSV_DECIMALS = 6
FIELDS = (
    "mean", "spread", "seeds", "seeds_wanted", "images", "infinite", "left_out", "delta", "delta_spread", "delta_seeds"
)  # fmt: skip
PUBLISHED = ("published", "verdict", "source")


def write(board: Leaderboard) -> str:
    """One line per task, backbone and variant; columns FIELDS per data set, metric and protocol. `seeds` counts those
    that the mean is over.

    Texts are written as they are, for programs. A spreadsheet should take the columns of names as text: it reads one
    that begins with `=`, `+`, `-` or `@` as a formula.
    Lines end in LF. Column names are `<data set>.<metric>@<protocol>.<field>`; what a task does not have is empty.
    Where numbers are published, the fields PUBLISHED follow those of their data set, metric and protocol.
    """
    columns = list(dict.fromkeys(column for section in board.sections for column in section.columns))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [f"{board.dataset(column)}.{column.metric}@{board.protocol(column)}" for column in columns]
    known = {(each.row, each.column): each for each in board.published if each.column is not None}
    compared = {column for _, column in known}
    fields_of = [FIELDS + PUBLISHED if column in compared else FIELDS for column in columns]
    numbers = [f"{name}.{field}" for name, given in zip(names, fields_of, strict=True) for field in given]
    writer.writerow(["task", "backbone", "variant", "added_parameters", *numbers, "note"])
    for section in board.sections:
        for row in section.rows:
            fields = []
            for column in columns:
                fields += _fields(row, column)
                fields += _published(known.get((row.key, column))) if column in compared else []
            added = "" if row.added_parameters is None else str(row.added_parameters)
            writer.writerow([section.task, row.backbone, row.variant, added, *fields, "; ".join(remarks(row))])
    return stream.getvalue()


def _fields(row: Row, column: Column) -> list[str]:
    found = row.entries.get(column)
    if found is None:
        return [""] * len(FIELDS)
    seeds = found.score.count if found.score else 0
    counts = [str(count) for count in (seeds, found.wanted, found.images, found.infinite, found.left_out)]
    delta_seeds = str(found.delta.count) if found.delta else ""
    return [*_exact(found.score), *counts, *_exact(found.delta), delta_seeds]


def _published(found: Rescored | None) -> list[str]:
    if found is None:
        return [""] * len(PUBLISHED)
    return [number(found.published, CSV_DECIMALS), found.verdict, found.source]


def _exact(value: Spread | None) -> list[str]:
    if value is None:
        return ["", ""]
    deviation = "" if value.deviation is None else number(value.deviation, CSV_DECIMALS)
    return [number(value.mean, CSV_DECIMALS), deviation]
