"""Which layout of a data set lies in a folder: the one whose patterns find files, from there or from a folder in it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import takewhile
from unicodedata import normalize

from harness.api.source import Files, Layout, Source
from harness.core.errors import DataError, Unfit
from harness.core.text import printable, shown_name
from harness.parts.shared.declared.names import is_archive, sibling
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
    absent: tuple[str, ...] = ()
    """Splits of which nothing is there, while another one is whole: many have the test half of a data set only."""
    passed: tuple[str, ...] = ()
    """Other layouts that lie there, too, with fewer splits."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the layout of which something is there."""
        return tuple(split for split in self.layout.splits if split not in self.absent)

    @property
    def lacking(self) -> dict[Slot, tuple[str, ...]]:
        """Sides without files of those splits, and their patterns."""
        return {slot: patterns for slot, patterns in self.missing.items() if slot[0] not in self.absent}

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
        if os.path.lexists(root) and is_archive(root):
            there = "this is an archive"
            hint = f"unpack {shown_name(os.path.basename(root), 200)} first, and give the folder that it makes"
        raise DataError(f"{source.title}: {there}", where=shown_name(root, 300), hint=hint)
    if not os.access(root, os.R_OK | os.X_OK):
        raise DataError(f"{source.title}: this folder may not be read", where=shown_name(root, 300), hint="chmod u+rx")
    looked = _looked(root, source)
    whole = _distinct(sorted((found for found in looked if not found.lacking), key=lambda found: len(found.absent)))
    if not whole:
        nearest = max(looked, key=_nearness)
        if not nearest.files and not nearest.problems:
            raise _nothing(root, source, looked)
        whole = [nearest]
    own = [found for found in whole if not sibling(source, root, found.layout, found.base)]
    if not own:
        raise _other(root, source, whole[0])
    largest = max(own, key=lambda found: len(found.splits))
    others = [found for found in own if found is not largest]
    if not all(_is_less(found, largest) for found in others):
        raise _several(root, source, own)
    largest.passed = tuple(found.shown for found in others)
    return largest


def _nearness(found: Found) -> tuple[float, int]:
    """How much of a layout is there; of what has nothing, what has folders that cannot be read may be it."""
    return len(found.files) / (len(found.files) + len(found.missing)), len(found.problems)


def _is_less(found: Found, largest: Found) -> bool:
    """Whether a layout is a part of another one, as test sets beside the whole; training sets are not guessed."""
    return set(found.splits) < set(largest.splits) and "train" not in found.splits


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
    found.absent = _absent(found, os.path.join(root, base) if base else root)
    return found


def _absent(found: Found, start: str) -> tuple[str, ...]:
    """The splits of which nothing is there, where another one is whole."""
    lacking = {split for split, _ in found.missing}
    whole = {file.path for (split, _), files in found.files.items() if split not in lacking for file in files}
    if not whole:
        return ()
    begun = {split for (split, _), patterns in found.missing.items() if any(_there(start, each) for each in patterns)}
    begun |= {split for (split, _), files in found.files.items() if not whole.issuperset(file.path for file in files)}
    return tuple(split for split in found.layout.splits if split in lacking - begun)


def _there(start: str, pattern: str) -> bool:
    """Whether the place before the first wildcard of a pattern is there, be it as a link that leads nowhere."""
    path = start
    fixed = list(takewhile(lambda part: not any(letter in part for letter in "*?["), pattern.split("/")))
    for part in fixed:
        path = os.path.join(path, part)
        if os.path.islink(path) and not os.path.exists(path):
            return True
    return bool(fixed) and os.path.lexists(path)


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


def _other(root: str, source: Source, found: Found) -> DataError:
    name = sibling(source, root, found.layout, found.base)
    what = f"this is {name} by the names of its folders, and not {source.title}"
    hint = f"bench data prepare {name} --from {shown_name(root, 300)}; if that is wrong, call the folder otherwise"
    return Unfit(printable(what), where=shown_name(root, 300), hint=hint)


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
    packed = [name for name in sorted(os.listdir(root)) if is_archive(name)]
    hint = f"give the folder that holds these; {source.title} is at {source.page}"
    if packed and not elsewhere:
        hint = f"unpack {', '.join(shown_name(name, 200) for name in packed[:4])} first: archives are not read"
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
        if any(_lies_in(source, place, layout, base) for layout in source.layouts for base in ("", *layout.inside)):
            return place
    return ""


def _lies_in(source: Source, place: str, layout: Layout, base: str) -> bool:
    """Whether a layout lies whole in a folder that was not named: looked for only where its first folders have names,
    as no search through all that lies somewhere is wanted."""
    given = [pattern for files in layout.splits.values() for side in slots(files).values() for pattern in side]
    fixed = [os.path.join(place, base, pattern.partition("/")[0]) for pattern in given]
    if not all("/" in pattern for pattern in given) or not all(map(os.path.isdir, fixed)):
        return False
    return not sibling(source, place, layout, base) and not _look(place, layout, base).missing
