"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

COLOURS = {"done": "green", "failed": "red", "blocked": "yellow", "stale": "magenta", "running": "cyan"}
ENDLESS = 1000
"""Width where there is no terminal: lines are never folded, so that they can be searched."""


def print_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints rows whose first column is a state, in that state's colour."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        state, *others = row
        table.add_row(Text(state, style=COLOURS.get(state, "")), *map(Text, others))
    Console(width=None if sys.stdout.isatty() else ENDLESS, highlight=False, markup=False).print(table)
