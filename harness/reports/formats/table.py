"""Tables for a terminal, with legend and notes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from shutil import get_terminal_size

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.text import ENDLESS
from harness.reports.leaderboard import Leaderboard
from harness.reports.text import LEGEND, cells, header, notes, title


def write(board: Leaderboard, width: int | None = None) -> str:
    """The tables folded to `width` columns: the terminal's, or endless without one."""
    width = width or (get_terminal_size().columns if sys.stdout.isatty() else ENDLESS)
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=False, highlight=False, markup=False)
    for table in tables(board):
        console.print(table)
    console.print(LEGEND)
    for note in notes(board):
        console.print(f"  {note}")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def tables(board: Leaderboard) -> Iterator[Table]:
    """A rich table per section, for a console to print."""
    for section in board.sections:
        table = Table(title=Text(title(board, section)), title_justify="left", box=SIMPLE_HEAD)
        for index, name in enumerate(header(board, section)):
            table.add_column(Text(name), justify="left" if index < 2 else "right", overflow="fold")
        for row in section.rows:
            table.add_row(*map(Text, cells(board, section, row)))
        yield table
