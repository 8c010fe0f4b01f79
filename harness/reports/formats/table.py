"""Tables for a terminal, with legend and notes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.encoding import encodable
from harness.core.text import ENDLESS, least_width, on_one_line, printable
from harness.reports.leaderboard import Leaderboard
from harness.reports.rescored import RULE, TITLES
from harness.reports.text import LEGEND, PUBLISHED, cells, header, notes, published, title

NAMES = 2
"""Columns that say which row it is; every part of a table that is too wide begins with them."""
LEAST = 40
"""No table is folded to fewer characters."""
PADDING = 3
"""Characters that Rich puts around and between columns, for each of them."""
FEWEST = 4
"""Characters of a name on one line."""


def write(board: Leaderboard, width: int | None = None) -> str:
    """The tables folded to `width` columns: the terminal's, or endless without one.

    A table that is too wide goes on below itself; numbers are never split.
    """
    width = max(LEAST, width or (get_terminal_size().columns if sys.stdout.isatty() else ENDLESS))
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=False, highlight=False, markup=False, emoji=False)
    for table in tables(board, width):
        console.print(table)
    console.print(LEGEND)
    if board.published:
        console.print(published_table(board))
        console.print(RULE)
    for note in notes(board):
        console.print(f"  {printable(note)}")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def tables(board: Leaderboard, width: int = ENDLESS) -> Iterator[Table]:
    """A rich table per section, or several where the columns do not fit side by side, for a console to print."""
    for section in board.sections:
        titles = [encodable(on_one_line(name)) for name in header(board, section)]
        rows = [[encodable(on_one_line(text)) for text in cells(board, section, row)] for row in section.rows]
        least = _least(titles, rows, width)
        for number, columns in enumerate(_parts(least, width)):
            name = on_one_line(title(board, section)) if number == 0 else "the same rows, further columns"
            table = Table(title=Text(name), title_justify="left", box=SIMPLE_HEAD)
            for index in columns:
                justify: Literal["left", "right"] = "left" if index < NAMES else "right"
                table.add_column(Text(titles[index]), justify=justify, overflow="fold", min_width=least[index])
            for row in rows:
                table.add_row(*(Text(row[index]) for index in columns))
            yield table


def published_table(board: Leaderboard) -> Table:
    """The published numbers beside the measured ones, for a console to print."""
    table = Table(title=Text(PUBLISHED), title_justify="left", box=SIMPLE_HEAD)
    for name in TITLES:
        number = name in ("published", "measured", "difference")
        justify: Literal["left", "right"] = "right" if number else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=number)
    for row in published(board):
        table.add_row(*(Text(encodable(on_one_line(text))) for text in row))
    return table


def _least(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """How narrow every column may get. Names give way to numbers, and numbers stay whole, with their deviations where
    there is room.
    """
    columns = list(zip(titles, *rows, strict=True))
    names = [max(map(least_width, column)) for column in columns[:NAMES]]
    words = [max(map(least_width, column)) for column in columns[NAMES:]]
    whole = [max([least_width(column[0]), *map(_chunk, column[1:])]) for column in columns[NAMES:]]
    free = width - PADDING * (NAMES + 1) - 1
    names = [min(each, max(FEWEST, (free - max(words, default=0)) // NAMES)) for each in names]
    free -= sum(names)
    return [*names, *(each if each <= free else word for each, word in zip(whole, words, strict=True))]


def _chunk(entry: str) -> int:
    """The longest piece of an entry that stays together: a number with its deviation, or a word."""
    return max(map(len, entry.replace(" ± ", "±±±").split()), default=0)


def _parts(least: list[int], width: int) -> list[list[int]]:
    """The columns of every part of a table: the names, and as many others as fit beside them."""
    names = list(range(NAMES))
    taken = sum(least[:NAMES]) + PADDING * NAMES + 1
    parts: list[list[int]] = []
    left = 0
    for index in range(NAMES, len(least)):
        needed = least[index] + PADDING
        if not parts or needed > left:
            parts.append([*names])
            left = width - taken
        parts[-1].append(index)
        left -= needed
    return parts or [names]
