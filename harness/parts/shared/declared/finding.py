"""Which layout of a data set lies in a folder: the one whose patterns find files, from there or from a folder in it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from unicodedata import normalize

from harness.api.source import Files, Layout, Source
from harness.core.errors import DataError, Unfit
from harness.core.text import printable, shown_name
from harness.parts.shared.pictures.listing import File, listed_in
from harness.parts.shared.pictures.pairing import Problem
from harness.parts.shared.pictures.reading import ENDINGS

_AROUND = 100
"""Folders of the user's one that are tried, to say where the data set lies when it is not there."""

_READ = ENDINGS | {".mat"}
"""Endings of files that show that a layout is there: a stray text is none."""

Slot = tuple[str, str]
"""A split, and a side of it: `gt`, `lq`, or `lq1` and `lq2` of two views."""


@dataclass
class Found:
    """A layout, and what its patterns find from one folder."""

    layout: Layout
    base: str
    """The folder in the user's one from which the patterns start; empty: that itself."""
    files: dict[Slot, list[File]] = field(default_factory=dict)
    missing: dict[Slot, tuple[str, ...]] = field(default_factory=dict)
    """Sides of which there is no file, and their patterns."""
    problems: list[Problem] = field(default_factory=list)
    """Folders that cannot be read."""

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(file.path for files in self.files.values() for file in files)

    @property
    def shown(self) -> str:
        return f"{self.layout.name} in {self.base}" if self.base else self.layout.name


def find(root: str, source: Source) -> Found:
    """The layout that lies in a folder; the nearest one, with what is missing, where none is whole.

    Raises DataError when there is no such folder, when nothing of any layout is found, and when more than one is there.
    """
    if not os.path.isdir(root):
        there = "this is a file, not a folder" if os.path.lexists(root) else "there is no such folder"
        hint = "unpack the archive, and give the folder that it makes"
        raise DataError(f"{source.title}: {there}", where=shown_name(root, 300), hint=hint)
    if not os.access(root, os.R_OK | os.X_OK):
        raise DataError(f"{source.title}: this folder may not be read", where=shown_name(root, 300), hint="chmod u+rx")
    looked = _looked(root, source)
    whole = _distinct([found for found in looked if not found.missing])
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise _several(root, source, whole)
    nearest = max(looked, key=lambda found: len(found.files) / (len(found.files) + len(found.missing)))
    if nearest.files:
        return nearest
    raise _nothing(root, source, looked)


def _looked(root: str, source: Source) -> list[Found]:
    bases = [(layout, base) for layout in source.layouts for base in ("", *layout.inside)]
    there = [(layout, base) for layout, base in bases if os.path.isdir(os.path.join(root, base))]
    return [_look(root, layout, base) for layout, base in there]


def slots(files: Files) -> dict[str, tuple[str, ...]]:
    """The sides of a split, each with its patterns."""
    views = {"lq1": files.lq[:1], "lq2": files.lq[1:]} if files.views else {"lq": files.lq}
    return {side: patterns for side, patterns in {"gt": files.gt, **views}.items() if patterns}


def _look(root: str, layout: Layout, base: str) -> Found:
    found = Found(layout, base)
    for split, files in layout.splits.items():
        for side, patterns in slots(files).items():
            listed = _listed(root, base, side, patterns, found)
            if any(os.path.splitext(file.path)[1].lower() in _READ for file in listed):
                found.files[split, side] = listed
            else:
                found.missing[split, side] = patterns
    return found


def _listed(root: str, base: str, side: str, patterns: tuple[str, ...], found: Found) -> list[File]:
    """The files of one side, each once, by name."""
    start = os.path.join(root, base) if base else root
    files: dict[str, File] = {}
    for pattern in patterns:
        try:
            listed = listed_in(start, pattern, side[:2])
        except DataError as error:
            found.problems.append(Problem("folder", _label(error.where, root), error.what))
            continue
        for file in listed:
            named = file if len(patterns) == 1 else _by_path(file, start)
            files[file.path] = named._replace(label=_label(file.path, root))
    return sorted(files.values(), key=lambda file: (file.name, file.path))


def _label(path: str, root: str) -> str:
    return path.removeprefix(root + os.sep)


def _by_path(file: File, start: str) -> File:
    """A file whose name is its path: what wildcards of several patterns matched may be the same."""
    name = os.path.relpath(file.path, start).replace(os.sep, "/")
    return file._replace(name=name, stem=normalize("NFC", os.path.splitext(name)[0]))


def _distinct(whole: list[Found]) -> list[Found]:
    """Without those whose files another one has, too: of the same files the first is taken."""
    kept: list[Found] = []
    for found in whole:
        others = [*kept, *(other for other in whole if other is not found and other.paths > found.paths)]
        if not any(found.paths <= other.paths for other in others):
            kept.append(found)
    return kept


def _several(root: str, source: Source, whole: list[Found]) -> DataError:
    what = f"more than one layout of {source.title} is found: {', '.join(found.shown for found in whole)}"
    places = dict.fromkeys(os.path.join(root, found.base) for found in whole if found.base)
    hint = "leave one of them there"
    if places:
        hint = f"give the folder of one of them: {' or '.join(shown_name(place, 200) for place in places)}"
    return Unfit(printable(what), where=shown_name(root, 300), hint=hint)


def _nothing(root: str, source: Source, looked: list[Found]) -> DataError:
    lines = [f"this is no folder of {source.title}: no file of any of its layouts is found"]
    for layout in source.layouts:
        patterns = dict.fromkeys(
            pattern for files in layout.splits.values() for given in slots(files).values() for pattern in given
        )
        inside = f", also in {', '.join(layout.inside)}" if layout.inside else ""
        lines.append(f"  {layout.name} ({layout.of}{inside}): {', '.join(patterns)}")
    lines.append(f"  what lies there: {_content(root)}")
    elsewhere = _elsewhere(root, source)
    hint = f"give the folder that holds these; {source.title} is at {source.page}"
    if elsewhere:
        hint = f"it lies in {shown_name(elsewhere, 300)}: give this folder"
    return Unfit(printable("\n".join(lines)), where=shown_name(root, 300), hint=hint)


def _content(root: str) -> str:
    names = sorted(os.listdir(root))
    shown = ", ".join(shown_name(name, 60) for name in names[:8])
    return f"{shown}, and {len(names) - 8:,} more" if len(names) > 8 else shown or "nothing"


def _elsewhere(root: str, source: Source) -> str:
    """A folder in this one, or around it, where the data set lies whole; empty: none."""
    with os.scandir(root) as entries:
        inner = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    around = os.path.dirname(root)
    for place in (*inner[:_AROUND], around, os.path.dirname(around)):
        if any(_lies_in(place, layout, base) for layout in source.layouts for base in ("", *layout.inside)):
            return place
    return ""


def _lies_in(place: str, layout: Layout, base: str) -> bool:
    """Whether a layout lies whole in a folder that was not named: looked for only where its first folders have names,
    as no search through all that lies somewhere is wanted."""
    given = [pattern for files in layout.splits.values() for side in slots(files).values() for pattern in side]
    fixed = [os.path.join(place, base, pattern.partition("/")[0]) for pattern in given]
    if not all("/" in pattern for pattern in given) or not all(map(os.path.isdir, fixed)):
        return False
    return not _look(place, layout, base).missing
