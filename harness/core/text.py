"""Texts of unknown length and content, made fit for a line of a message."""

from __future__ import annotations

ENDLESS = 1000
"""Width of tables, in characters, where the text does not go to a terminal: nothing is folded."""


def shortened(text: str, longest: int) -> str:
    """The text, cut to `longest` characters; a cut one ends in an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def first_line(text: str, longest: int = 200) -> str:
    """The first line of a text that is not blank, cut to `longest` characters."""
    return shortened(next((line.strip() for line in text.splitlines() if line.strip()), ""), longest)


def shown_name(name: str, longest: int = 80) -> str:
    """A name as messages show it: cut, and quoted where it holds what cannot be printed."""
    name = shortened(name, longest)
    return name if name.isprintable() else repr(name)
