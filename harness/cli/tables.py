"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size
from textwrap import wrap

from harness.core.encoding import encodable
from harness.core.text import ENDLESS, least_width, on_one_line, printable

COLOURS = {"done": "green", "failed": "red", "blocked": "yellow", "stale": "magenta", "running": "cyan"}

GAP = "  "
"""Between columns."""

BORDERS = 3
"""Characters that Rich puts around and between columns, for each of them."""

Rows = Sequence[Sequence[str]]


def print_table(titles: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints rows whose first column is a state: coloured and folded in a terminal, else one line each for programs."""
    titles = [encodable(title) for title in titles]
    lines = [[encodable(on_one_line(text)) for text in row] for row in rows]
    if not sys.stdout.isatty():
        print("\n".join(straight(titles, lines)))
    elif not fits(titles, lines, get_terminal_size().columns):
        print("\n".join(paragraphs(titles, lines, get_terminal_size().columns)))
    else:
        _print_coloured(titles, lines)


def page_width() -> int:
    """Characters of a line of text: the terminal's, at most 100 and at least 40."""
    return max(40, min(get_terminal_size().columns, 100))


def straight(titles: Sequence[str], rows: Rows) -> list[str]:
    """A line per row, columns below each other; nothing is folded or cut."""
    table = [list(titles), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [GAP.join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in table]


def fits(titles: Sequence[str], rows: Rows, width: int) -> bool:
    """Whether a table of so many characters can fold its texts between words: a column keeps its longest word
    (harness.core.text.least_width).
    """
    least = [max(map(least_width, column)) for column in zip(titles, *rows, strict=True)]
    return sum(least) + BORDERS * len(least) + 1 <= width


def paragraphs(titles: Sequence[str], rows: Rows, width: int) -> list[str]:
    """Rows as paragraphs: the first column on a line of its own, then a line per title, folded between words."""
    lines: list[str] = []
    for first, *others in rows:
        lines += _folded(first, "", width)
        for title, text in zip(titles[1:], others, strict=True):
            for number, line in enumerate(text.splitlines() if text else ()):
                lines += _folded(line, f"  {title}: " if number == 0 else "    ", width)
    return lines


def _folded(text: str, start: str, width: int) -> list[str]:
    return wrap(text, max(width, 20), initial_indent=start, subsequent_indent="    ", break_on_hyphens=False) or [start]


def _print_coloured(titles: Sequence[str], rows: Rows) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title, column in zip(titles, zip(titles, *rows, strict=True), strict=True):
        table.add_column(title, overflow="fold", min_width=max(map(least_width, column)))
    for state, *others in rows:
        table.add_row(Text(state, style=COLOURS.get(state, "")), *map(Text, others))
    Console(highlight=False, markup=False).print(table)


def show(title: str, titles: Sequence[str], rows: Iterable[Iterable[str]], *, lines: bool = False) -> None:
    """Prints a table whose texts may hold anything, line breaks too. Folded in a terminal, and rows become paragraphs
    in one that is too narrow; elsewhere nothing is folded. `lines`: whether lines stand between rows.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    titles = [encodable(printable(each)) for each in titles]
    cells = [[encodable(printable(text)) for text in row] for row in rows]
    width = get_terminal_size().columns if sys.stdout.isatty() else ENDLESS
    if not fits(titles, cells, width):
        print("\n".join([*([title] if title else []), *paragraphs(titles, cells, width)]))
        return
    table = Table(title=title or None, title_justify="left", expand=False, show_lines=lines)
    for each, column in zip(titles, zip(titles, *cells, strict=True), strict=True):
        table.add_column(Text(each), overflow="fold", min_width=max(map(least_width, column)))
    for line in cells:
        table.add_row(*map(Text, line))
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)
