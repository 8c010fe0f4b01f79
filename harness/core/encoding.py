"""Texts in encodings that lack some of their characters."""

from __future__ import annotations

import codecs
import sys

_ASCII = {
    "±": "+/-", "×": "x", "·": "|", "→": "->", "←": "<-", "↑": "(higher is better)", "↓": "(lower is better)",
    "…": "...", "—": "--", "–": "-", "−": "-", "≤": "<=", "≥": ">=", "∞": "inf", "σ": "sigma", "λ": "lambda",
    "Δ": "delta", "µ": "u", "²": "^2", "³": "^3", "°": " deg", "ö": "oe", "ä": "ae", "ü": "ue", "ß": "ss",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "✓": "ok",
    "─": "-", "━": "-", "│": "|", "┃": "|", "╌": "-", "┏": "+", "┓": "+", "┗": "+", "┛": "+", "┡": "+", "┩": "+",
    "└": "+", "┘": "+", "┌": "+", "┐": "+", "┼": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "╇": "+", "┳": "+",
    "█": "#", "•": "*",
}  # fmt: skip
"""What stands for a character in an encoding that lacks it; any other one becomes its code."""

ERRORS = "priorbench_ascii"
"""The name of the error handler that writes `_ASCII`."""


def encodable(text: str) -> str:
    """The text as standard output will show it, so that columns are laid out by the right widths."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, ERRORS).decode(encoding)
    return text


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(
        _ASCII.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters
    ), error.end


codecs.register_error(ERRORS, _replaced)
