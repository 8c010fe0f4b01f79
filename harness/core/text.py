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


def printable(text: str) -> str:
    """The text as a terminal may have it: line breaks and tabs stay, every other character that is not shown as itself
    (control characters, the beginnings of escape sequences, marks that turn the direction, lone surrogates) becomes its
    code, as `\\x1b`.
    """
    if text.isprintable() or all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(letter if letter.isprintable() or letter in _KEPT else _code(letter) for letter in text)


def on_one_line(text: str) -> str:
    """The text as `printable` has it, its line breaks and tabs as spaces."""
    return printable(" ".join(text.splitlines()).replace("\t", " "))


_KEPT = frozenset("\n\t\u00a0\u202f\u2009")
"""Line breaks, tabs, and spaces that do not break or are thin."""


def _code(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


NARROWEST = 12
"""Characters of a long word that stay together when a column is folded."""


def least_width(text: str) -> int:
    """How narrow a column with a text may get: as wide as its longest word, so that no number and no id is split.
    Longer words, such as paths and labels, may be folded.
    """
    return max(((len(word) if _whole(word) else min(len(word), NARROWEST)) for word in text.split()), default=0)


def _whole(word: str) -> bool:
    return len(word) <= 2 * NARROWEST and any(map(str.isdigit, word))
