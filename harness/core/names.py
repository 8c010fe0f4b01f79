"""Names of files and folders that are made of names of other things: never too long, never one for two things."""

from __future__ import annotations

from harness.core.identity import digest

LONGEST = 240
"""Bytes of a name. File systems allow 255, of which a name needs 15 more while its file is written (core.paths)."""


def beginning(text: str, most: int) -> str:
    """As many whole characters of a text as have room in `most` bytes of UTF-8."""
    content = text.encode(errors="replace")
    return text if len(content) <= most else content[:most].decode(errors="ignore")


def file_name(exact: str, ending: str, *, readable: str = "") -> str:
    """The name of a file that stands for `exact`, a text that no two things share.

    It is `exact + ending` where that is short enough and has no capitals, which some file systems do not tell from
    small letters. Otherwise it is the beginning of `readable` (else of `exact`), and a digest of `exact`. `=XX`, the
    escapes of harness.data.members, are no capitals: there are no others that differ in case alone.
    """
    name = exact + ending
    plain = _without_escapes(exact)
    if len(name.encode()) <= LONGEST and plain == plain.lower():
        return name
    tail = f"~{digest(exact)}{ending}"
    shown = "".join(char if char.isalnum() or char in "-_." else "_" for char in readable or exact)
    return beginning(shown, LONGEST - len(tail.encode())) + tail


def _without_escapes(text: str) -> str:
    pieces = text.split("=")
    return pieces[0] + "".join(piece[2:] for piece in pieces[1:])
