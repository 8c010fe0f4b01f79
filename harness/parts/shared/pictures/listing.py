"""The files that a folder or a pattern names, each with the name that pairs it.

A folder means the files directly in it. In a pattern, `*`, `?` and `[…]` match within one name, and `**` any number of
folders, but none that is a link, so that no walk is endless. A file's name is what the wildcards matched, joined by
`/`: `GOPR*/blur/*.png` gives `GOPR0372_07/000047.png`, and `sharp` in place of `blur` the same names.

Left out by rule: names that begin with a dot, `Thumbs.db`, `desktop.ini`, `__MACOSX`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import translate
from typing import NamedTuple
from unicodedata import normalize

from harness.core.errors import DataError
from harness.core.identity import stamp_of
from harness.core.paths import unread
from harness.core.text import shown_name

_SYSTEM = frozenset(["thumbs.db", "desktop.ini", "__macosx"])
_WILD = re.compile(r"[*?[]")


class File(NamedTuple):
    """A file of one side of a data set."""

    side: str
    """The option that names it: lq, gt, test_lq, test_gt."""
    name: str
    """What the wildcards matched; the file's own name where there is no wildcard."""
    stem: str
    """The name without the ending, in one Unicode form (NFC), so that it is the same from every file system."""
    path: str
    size: int
    stamp: tuple[int, ...] = ()
    """What shows that it has changed (harness.core.identity.stamp_of)."""
    error: str = ""
    """Why the file cannot be looked at."""
    label: str = ""
    """What messages call it, where that is not its side and name."""

    @property
    def shown(self) -> str:
        """What messages, manifests and `skip` call it, wherever it lies."""
        return self.label or f"{self.side}/{self.name}"


def listed(pattern: str, side: str) -> list[File]:
    """The files of a folder or pattern, by name. Raises DataError when there are none."""
    if not _WILD.search(pattern) and not os.path.lexists(pattern):
        what = f"{side}: there is no such folder"
        raise DataError(what, where=shown_name(pattern, 200), hint=f"set {side} to a folder or a pattern")
    if os.path.isdir(pattern):
        root, parts = pattern, ["*"]
    else:
        root, parts = _split(pattern, side)
    if not os.path.isdir(root):
        there = "this is a file, not a folder" if os.path.exists(root) else "there is no such folder"
        raise DataError(f"{side}: {there}", where=shown_name(root, 200), hint=f"set {side} to a folder or a pattern")
    files = _files(root, parts, side)
    if not files:
        what = f"{side}: no file is found"
        raise DataError(what, where=shown_name(pattern, 200), hint="see the path; `**` reaches into folders in it")
    return files


def listed_in(folder: str, pattern: str, side: str) -> list[File]:
    """The files of a pattern that starts from a folder, whose own name has no wildcards; none where there are none.
    After a wildcard the ending matches in any case: `*.png` takes `1.PNG`, too.

    Raises DataError for a folder that cannot be read.
    """
    head, parts = _split(pattern, side)
    root = folder if head == "." else os.path.join(folder, head)
    return _files(root, [*parts[:-1], _any_case(parts[-1])], side) if os.path.isdir(root) else []


def _any_case(name: str) -> str:
    """A pattern whose ending matches in any case."""
    stem, ending = os.path.splitext(name)
    if not _WILD.search(stem) or _WILD.search(ending):
        return name
    return stem + "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in ending)


def _files(root: str, parts: list[str], side: str) -> list[File]:
    own = len(parts) == 1 and not _WILD.search(parts[0])
    found = {entry.path: (entry, matched) for entry, matched in _walk(root, parts, (), own)}
    files = [_file(entry, side, matched, parts[-1]) for entry, matched in found.values()]
    return sorted(files, key=lambda file: (file.name, file.path))


def _split(pattern: str, side: str) -> tuple[str, list[str]]:
    """The folder before the first wildcard, and what follows it, name by name."""
    parts = pattern.split(os.sep)
    first = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts) - 1)
    root, rest = os.sep.join(parts[:first]) or (os.sep if pattern.startswith(os.sep) else "."), parts[first:]
    if ".." in rest:
        what = f"{side}: `..` after a wildcard leads out of what it matched"
        raise DataError(what, where=shown_name(pattern, 200), hint="write the path without it")
    kept: list[str] = []
    for part in rest:
        if part not in ("", ".") and (part, *kept[-1:]) != ("**", "**"):
            kept.append(part)
    return root, [*kept, "*"] if kept[-1:] == ["**"] else kept


Found = tuple["os.DirEntry[str]", tuple[str, ...]]
"""A file, and what the wildcards matched."""


def _walk(folder: str, parts: list[str], matched: tuple[str, ...], own: bool) -> Iterator[Found]:
    """What lies below a folder. `own`: the pattern is the name of one file."""
    head, rest = parts[0], parts[1:]
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not _left_out(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"the folder cannot be read: {unread(error)}", where=shown_name(folder, 200)) from error
    if head == "**":
        yield from _walk(folder, rest, matched, own)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, parts, (*matched, entry.name), own)
        return
    wild = bool(_WILD.search(head))
    fits = re.compile(translate(head)).match
    for entry in entries:
        if not (fits(entry.name) if wild else entry.name == head):
            continue
        now = (*matched, entry.name) if wild or own else matched
        if _is_folder(entry, needed=bool(rest)):
            if rest:
                yield from _walk(entry.path, rest, now, own)
        elif not rest:
            yield entry, now


def _left_out(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM


def _is_folder(entry: os.DirEntry[str], needed: bool) -> bool:
    """Whether it is a folder. Raises DataError for a link that leads nowhere where one is `needed`: nobody would miss
    its files."""
    try:
        if entry.is_dir():
            return True
    except OSError:  # links in a circle
        pass
    if needed and entry.is_symlink() and not os.path.exists(entry.path):
        raise DataError("it is a link that leads nowhere or in a circle", where=shown_name(entry.path, 200))
    return False


def _file(entry: os.DirEntry[str], side: str, matched: tuple[str, ...], last: str) -> File:
    name = "/".join(matched)
    ended = bool(_WILD.search(last)) or (len(matched) == 1 and matched[0] == entry.name)
    stem = normalize("NFC", os.path.splitext(name)[0] if ended else name)
    try:
        status = entry.stat()
        error = "" if stat.S_ISREG(status.st_mode) else "it is no file"
        return File(side, name, stem, entry.path, status.st_size, tuple(stamp_of(status)), error)
    except OSError as error:
        return File(side, name, stem, entry.path, 0, error=unread(error))
