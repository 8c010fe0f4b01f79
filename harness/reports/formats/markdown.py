"""Markdown, as GitHub shows it."""

from __future__ import annotations

from harness.reports.leaderboard import Leaderboard
from harness.reports.text import LEGEND, cells, header, notes, title


def write(board: Leaderboard) -> str:
    """GitHub's tables, one per section, then the legend and the notes."""
    lines = []
    for section in board.sections:
        titles = header(board, section)
        lines += [
            f"### {title(board, section)}",
            "",
            _line(titles),
            _line(["---", "---"] + ["---:"] * (len(titles) - 2)),
        ]
        lines += [_line(cells(board, section, row)) for row in section.rows] + [""]
    lines += [LEGEND, ""]
    missing = notes(board)
    lines += [f"- {_escaped(note)}" for note in missing] + [""] * bool(missing)
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _line(fields: list[str]) -> str:
    return f"| {' | '.join(map(_escaped, fields))} |"
