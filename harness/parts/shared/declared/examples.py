"""Folders of examples: bundled photographs in the layout of a data set, which its real files may lie among."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import DataError
from harness.parts.shared.declared.samples import Part
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.looks import sha256s
from harness.parts.shared.pictures.pairing import Problem

MARKER = "EXAMPLE.json"
"""The file that marks a folder of examples. Its `files` are the SHA-256 of each, by path."""
ABOVE = 4
"""Folders above the user's one in which the marker is looked for: users point at a folder in that of an example."""


class _Marker(NamedTuple):
    path: str
    known: frozenset[str] | None
    """The digests of the files that it marks; None: it names none, and marks whatever lies there."""


@dataclass(frozen=True)
class Marked:
    """What markers say of the files of a folder."""

    is_example: bool = False
    problems: tuple[Problem, ...] = ()
    """Markers of folders in which other files lie, too."""


def marked(parts: dict[str, Part], found: Iterable[str], root: str) -> Marked:
    """Whether files are examples: by a marker in their folder `root`, between it and the `found` files, or above it.

    A marker above that lists none of the files is of what else lies there.
    """
    inside = [marker for folder in _between(found, root) if (marker := _read(folder)) is not None]
    above = [marker for folder in _above(root) if (marker := _read(folder)) is not None]
    if any(marker.known is None for marker in (*inside, *above)):
        return Marked(is_example=True)
    if not inside and not above:
        return Marked()
    files = _used(parts)
    try:
        digests = sha256s(files, root)
    except DataError:  # decoding the file says so
        return Marked(is_example=True)
    known = frozenset[str]().union(*(marker.known or () for marker in (*inside, *above)))
    strange = [file for file, sha in zip(files, digests, strict=True) if sha not in known]
    mine = len(files) - len(strange)
    if not inside and not mine:
        return Marked()
    if not strange:
        return Marked(is_example=True)
    return Marked(True, (_mixed(strange, mine, (*inside, *above)[0].path, root),))


def _mixed(strange: Sequence[File], mine: int, marker: str, root: str) -> Problem:
    of = f"{len(strange):,} {'file is' if len(strange) == 1 else 'files are'} not of the example, as {strange[0].shown}"
    away = f"{MARKER} and the {mine:,} files of the example" if mine else MARKER
    shown = marker.removeprefix(root + os.sep)
    return Problem("example", shown, of, f"remove {away}, or unpack the download into another folder")


def _used(parts: dict[str, Part]) -> list[File]:
    used = {
        file.path: file
        for part in parts.values()
        for file in (*(file for sample in part.samples for file in part.of(sample)), *part.lists)
    }
    return [file for file in used.values() if not file.error and file.size]


def _between(found: Iterable[str], root: str) -> list[str]:
    """The folder, and those in it that lead to the files."""
    folders = {root: None}
    for folder in dict.fromkeys(map(os.path.dirname, found)):
        while folder not in folders and folder.startswith(root.rstrip(os.sep) + os.sep):
            folders[folder] = None
            folder = os.path.dirname(folder)
    return list(folders)


def _above(root: str) -> list[str]:
    return [str(folder) for folder in Path(os.path.realpath(root)).parents[:ABOVE]]


def _read(folder: str) -> _Marker | None:
    path = os.path.join(folder, MARKER)
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            said = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return _Marker(path, None)
    files = said.get("files") if isinstance(said, dict) else None
    return _Marker(path, frozenset(map(str, files.values())) if isinstance(files, dict) and files else None)
