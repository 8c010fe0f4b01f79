"""Markdown, as GitHub shows it."""

from __future__ import annotations

import re

from harness.core.text import on_one_line
from harness.reports.leaderboard import Leaderboard
from harness.reports.rescored import RULE, TITLES
from harness.reports.text import LEGEND, PUBLISHED, cells, header, notes, published, title


def write(board: Leaderboard) -> str:
    """GitHub's tables, one per section, then the legend and the notes."""
    lines = []
    for section in board.sections:
        titles = header(board, section)
        lines += [
            f"### {escaped(title(board, section))}",
            "",
            _line([escaped(each) for each in titles]),
            _line(["---", "---"] + ["---:"] * (len(titles) - 2)),
        ]
        lines += [_line([escaped(each) for each in cells(board, section, row)]) for row in section.rows] + [""]
    lines += [LEGEND, ""]
    lines += _published(board)
    missing = notes(board)
    lines += [f"- {escaped(note)}" for note in missing] + [""] * bool(missing)
    return "\n".join(lines)


def _published(board: Leaderboard) -> list[str]:
    """The table of published numbers with its rule; nothing without any."""
    rows = published(board)
    if not rows:
        return []
    head = [f"### {PUBLISHED}", "", _line([*TITLES]), _line(["---"] * len(TITLES))]
    return [*head, *(_line([escaped(text) for text in row]) for row in rows), "", escaped(RULE), ""]


_SPECIAL = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|#(?=\d)|@(?=\w)|(?<=:)//|(?<=www)\.", re.IGNORECASE)
"""What Markdown, HTML within it, or GitHub's references would take for more than a character."""
_START = re.compile(r"^([-+=])(?=\s|$)")


def escaped(text: str) -> str:
    """A text on one line that GitHub shows as it is: no emphasis, link, HTML, reference or new column comes of it."""
    plain = on_one_line(text).replace("&", "&amp;")
    return _START.sub(r"\\\1", _SPECIAL.sub(_safe, plain))


def _safe(found: re.Match[str]) -> str:
    letters = found.group()
    known = {"<": "&lt;", ">": "&gt;", "//": "/&#47;", "@": "&#64;", ".": "&#46;", "#": "&#35;"}
    return known.get(letters, f"\\{letters}")


def _line(fields: list[str]) -> str:
    return f"| {' | '.join(fields)} |"
