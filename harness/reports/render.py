"""Leaderboards as text: a table for terminals, Markdown, CSV. The same leaderboard gives the same bytes."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from harness.reports.aggregate import Spread, TableEntry
from harness.reports.leaderboard import Leaderboard, Row, Section
from harness.results.survey import Column

if TYPE_CHECKING:
    from rich.table import Table

LEGEND = (
    "Mean over images, then over seeds, ± sample standard deviation over seeds. "
    "In parentheses the difference to the base, paired on images and seeds. "
    "+params: parameters that the refiner adds."
)
CSV_DECIMALS = 6
ENDLESS = 1000


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A fixed number of decimals; never -0."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}"


def entry(found: TableEntry | None, decimals: int) -> str:
    """An entry as text: `24.31 ± 0.05 (+0.52)`, with what must be said of it, or the word for its gap."""
    if found is None:
        return ""
    notes = []
    if found.seeds < found.wanted and found.seeds:
        notes.append(f"{found.seeds} of {found.wanted} seeds")
    if found.infinite:
        notes.append(f"{found.infinite} × ∞ left out" if found.score else "all ∞")
    if found.score is None:
        return ", ".join(notes) or f"— {found.reason.partition(':')[0] or 'no images'}"
    text = number(found.score.mean, decimals)
    if found.score.deviation is not None:
        text += f" ± {number(found.score.deviation, decimals)}"
    if found.delta is not None:
        text += f" ({number(found.delta.mean, decimals, sign=True)})"
    return f"{text} [{', '.join(notes)}]" if notes else text


def header(board: Leaderboard, section: Section) -> list[str]:
    """Column titles of a section's table."""
    titles = [f"{board.dataset(column)} {board.styles[column.metric].title}" for column in section.columns]
    return ["backbone", "variant", "+params", *titles]


def cells(board: Leaderboard, section: Section, row: Row) -> list[str]:
    """One line of a section's table."""
    added = "" if row.added_parameters is None else f"{row.added_parameters:,}"
    entries = [entry(row.entries.get(column), board.styles[column.metric].decimals) for column in section.columns]
    return [row.backbone, row.variant, added, *entries]


def title(section: Section) -> str:
    """The task, and the protocols that its images are scored under."""
    return f"{section.task} · {', '.join(dict.fromkeys(column.protocol for column in section.columns))}"


def notes(board: Leaderboard) -> list[str]:
    """Why entries are missing, a line per row; lines that say the same of several rows are one."""
    rows: dict[str, list[str]] = {}
    for section in board.sections:
        for row in section.rows:
            for reason in dict.fromkeys(found.reason for found in row.entries.values() if found.reason):
                rows.setdefault(reason, []).append(_name(section, row))
    return [f"{', '.join(names)}: {reason}" for reason, names in rows.items()]


def _name(section: Section, row: Row) -> str:
    return " ".join(dict.fromkeys((section.task, row.backbone, row.variant)))


def render(board: Leaderboard, form: str, width: int | None = None) -> str:
    """The leaderboard as `table`, `md` or `csv`. Tables are folded to `width`: the terminal's, or endless without one.

    Raises ValueError for another form.
    """
    if form == "csv":
        return to_csv(board)
    if form == "md":
        return markdown(board)
    if form != "table":
        raise ValueError(f"no such form: {form!r}")
    return terminal(board, width or (get_terminal_size().columns if sys.stdout.isatty() else ENDLESS))


def terminal(board: Leaderboard, width: int) -> str:
    """Tables, legend and notes for reading on a terminal of that width."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False, markup=False)
    for table in tables(board):
        console.print(table)
    console.print(LEGEND)
    for note in notes(board):
        console.print(f"  {note}")
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def tables(board: Leaderboard) -> Iterator[Table]:
    """A rich table per section, for a console to print."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    for section in board.sections:
        table = Table(title=Text(title(section)), title_justify="left", box=SIMPLE_HEAD)
        for index, name in enumerate(header(board, section)):
            table.add_column(Text(name), justify="left" if index < 2 else "right", overflow="fold")
        for row in section.rows:
            table.add_row(*map(Text, cells(board, section, row)))
        yield table


def markdown(board: Leaderboard) -> str:
    """GitHub's tables, one per section, then the legend and the notes."""
    lines = []
    for section in board.sections:
        titles = header(board, section)
        lines += [f"### {title(section)}", "", _line(titles), _line(["---", "---"] + ["---:"] * (len(titles) - 2))]
        lines += [_line(cells(board, section, row)) for row in section.rows] + [""]
    lines += [LEGEND, ""]
    missing = notes(board)
    lines += [f"- {_escaped(note)}" for note in missing] + [""] * bool(missing)
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _line(fields: list[str]) -> str:
    return f"| {' | '.join(map(_escaped, fields))} |"


FIELDS = ("mean", "spread", "seeds", "seeds_wanted", "images", "infinite", "delta", "delta_spread", "delta_seeds")


def to_csv(board: Leaderboard) -> str:
    """One line per task, backbone and variant; nine columns (FIELDS) per data set, metric and protocol.

    Lines end in LF. Column names are `<data set>.<metric>@<protocol>.<field>`; what a task does not have is empty.
    """
    columns = list(dict.fromkeys(column for section in board.sections for column in section.columns))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [f"{board.dataset(column)}.{column.metric}@{column.protocol}" for column in columns]
    numbers = [f"{name}.{field}" for name in names for field in FIELDS]
    writer.writerow(["task", "backbone", "variant", "added_parameters", *numbers, "note"])
    for section in board.sections:
        for row in section.rows:
            fields = [field for column in columns for field in _fields(row, column)]
            added = "" if row.added_parameters is None else str(row.added_parameters)
            reasons = dict.fromkeys(found.reason for found in row.entries.values() if found.reason)
            writer.writerow([section.task, row.backbone, row.variant, added, *fields, "; ".join(reasons)])
    return stream.getvalue()


def _fields(row: Row, column: Column) -> list[str]:
    found = row.entries.get(column)
    if found is None:
        return [""] * len(FIELDS)
    counts = [str(count) for count in (found.seeds, found.wanted, found.images, found.infinite)]
    delta_seeds = str(found.delta.count) if found.delta else ""
    return [*_exact(found.score), *counts, *_exact(found.delta), delta_seeds]


def _exact(value: Spread | None) -> list[str]:
    if value is None:
        return ["", ""]
    deviation = "" if value.deviation is None else number(value.deviation, CSV_DECIMALS)
    return [number(value.mean, CSV_DECIMALS), deviation]
