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


LONGEST_NAME = 100
"""Bytes of a name that becomes a part of a folder's name: file systems take 255, and digests stand beside it."""

_RESERVED = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))]
)
"""Names that are devices in Windows, whatever follows a dot."""


def unfit_name(name: str) -> str:
    """Why a name cannot become a part of a folder's name on every system; empty when it can."""
    if not name:
        return "a name is not empty"
    if not name.isprintable():
        return "a name holds only characters that can be printed"
    if found := next((character for character in name if character in '/\\:*?"<>|'), ""):
        return f"a name holds no {found!r}: folders are called by it"
    if name[0] == "." or name[-1] == ".":
        return "a name neither begins nor ends with a dot: folders are called by it"
    if name != name.strip():
        return "a name neither begins nor ends with a space"
    if name.partition(".")[0].strip().upper() in _RESERVED:
        return f"{name!r} is the name of a device in Windows"
    if len(name.encode(errors="surrogatepass")) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} bytes in UTF-8"
    return ""
