"""The formats of a leaderboard by name. The same leaderboard gives the same bytes.

A format is one file in `formats/` with a function from a leaderboard to text, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.reports.formats import comma_separated, markdown, table
from harness.reports.leaderboard import Leaderboard

FORMATS: Mapping[str, Callable[[Leaderboard], str]] = {
    "table": table.write,
    "md": markdown.write,
    "csv": comma_separated.write,
}


def render(board: Leaderboard, form: str) -> str:
    """The leaderboard in a format of `FORMATS`. Raises ValueError for another one."""
    if form not in FORMATS:
        raise ValueError(f"no such form: {form!r}")
    return FORMATS[form](board)
