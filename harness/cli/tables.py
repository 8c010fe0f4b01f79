"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.core.text import ENDLESS

if TYPE_CHECKING:
    from rich.table import Table

COLOURS = {"done": "green", "failed": "red", "blocked": "yellow", "stale": "magenta", "running": "cyan"}


def print_table(titles: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints rows whose first column is a state: coloured and folded in a terminal, else one line each for programs."""
    lines = [list(row) for row in rows]
    if sys.stdout.isatty():
        _print_coloured(titles, lines)
        return
    table = [list(titles), *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _print_coloured(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for state, *others in rows:
        table.add_row(Text(state, style=COLOURS.get(state, "")), *map(Text, others))
    Console(highlight=False, markup=False).print(table)


def show(table: Table) -> None:
    """Prints a table whose texts may hold anything; nothing is cut off, and nothing is folded outside a terminal."""
    from rich.console import Console

    for column in table.columns:
        column.overflow = "fold"
    width = None if sys.stdout.isatty() else ENDLESS
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)
