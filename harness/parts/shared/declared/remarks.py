"""What is no mistake in a user's copy of a data set, but to be known before it is used."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

from harness.api.source import Files, Source
from harness.parts.shared.declared.finding import Found, slots
from harness.parts.shared.declared.samples import Part
from harness.parts.shared.pictures.reading import ENDINGS

_SHOWN = 3
"""Names that a remark shows."""

_CALLED = {"train": "training", "val": "validation"}


def absent(source: Source, found: Found) -> list[str]:
    """Splits that the data set has and this copy has not, and where they were looked for."""
    remarks = []
    for split in source.splits():
        if split in found.splits:
            continue
        having = [found.layout] if split in found.layout.splits else source.layouts
        given = [layout.splits[split] for layout in having if split in layout.splits]
        places = dict.fromkeys(pattern for files in given for side in slots(files).values() for pattern in side)
        remarks.append(
            f"no {_CALLED.get(split, split)} images are found, so it has no {split}; looked in {_few(places)}"
        )
    return remarks


def passed(found: Found) -> list[str]:
    """Layouts that lie there, too."""
    return [f"what lies there as {each} is not read: {found.shown} has more splits" for each in found.passed]


def outside(parts: dict[str, Part], root: str) -> list[str]:
    """Files that lie outside of the user's folder, as links lead there: usual where disks are shared or full."""
    true = os.path.realpath(root)
    folders: dict[str, str] = {}
    away: dict[str, str] = {}
    for file in (file for part in parts.values() for sample in part.samples for file in part.of(sample)):
        folder, name = os.path.split(file.path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = os.path.realpath(file.path) if os.path.islink(file.path) else os.path.join(folders[folder], name)
        if not path.startswith(true.rstrip(os.sep) + os.sep):
            away[file.shown] = path
    if not away:
        return []
    first, path = next(iter(away.items()))
    files = "1 file lies" if len(away) == 1 else f"{len(away):,} files lie"
    return [f"{files} outside of the folder, through links: {first} is {path}{' …' if len(away) > 1 else ''}"]


def left(found: Found, root: str) -> list[str]:
    """Pictures among those of the layout that its patterns do not take for their ending alone, as a .jpg among .png."""
    taken = found.paths
    others: dict[str, None] = {}
    for split in found.splits:
        files = found.layout.splits[split]
        lists = {os.path.basename(group.file) for group in files.groups}
        for side, patterns in _ended(files).items():
            here = found.files.get((split, side), [])
            for folder in dict.fromkeys(os.path.dirname(file.path) for file in here):
                names = [
                    name
                    for name in sorted(os.listdir(folder))
                    if name not in lists and _of_another_ending(name, patterns)
                ]
                paths = [os.path.join(folder, name) for name in names]
                others |= dict.fromkeys(path.removeprefix(root + os.sep) for path in paths if path not in taken)
    if not others:
        return []
    pictures = "1 picture is" if len(others) == 1 else f"{len(others):,} pictures are"
    return [f"{pictures} left out, as the data set has none of that ending there: {_few(others)}"]


def _ended(files: Files) -> dict[str, list[str]]:
    """The last names of the patterns of each side, of those that end in one way."""
    if files.reader != "picture":
        return {}
    lasts = {side: [pattern.rpartition("/")[2] for pattern in patterns] for side, patterns in slots(files).items()}
    return {side: names for side, names in lasts.items() if all(os.path.splitext(name)[1] for name in names)}


def _of_another_ending(name: str, patterns: list[str]) -> bool:
    stem, ending = os.path.splitext(name)
    if name.startswith(".") or ending.lower() not in ENDINGS:
        return False
    return any(fnmatchcase(stem + given, pattern) for pattern in patterns for given in [os.path.splitext(pattern)[1]])


def _few(names: dict[str, None]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return f"{shown}, and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown
