"""What is looked at before the first image of a data set is prepared: places, numbers, links, and pixels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from harness.api.source import Count, Source
from harness.core.pixels import off_scale
from harness.parts.shared.declared.finding import Found
from harness.parts.shared.declared.matlab import check_blocks
from harness.parts.shared.declared.samples import Part
from harness.parts.shared.pictures.looks import Look, alone, looks
from harness.parts.shared.pictures.pairing import Problem, Sample


def missing(found: Found, start: str) -> list[Problem]:
    """The places of a layout where no file is found."""
    places = dict.fromkeys(pattern for patterns in found.missing.values() for pattern in patterns)
    return [Problem("place", f"{found.base}/{place}" if found.base else place, _why(start, place)) for place in places]


def _why(start: str, pattern: str) -> str:
    """Where the way to a pattern ends."""
    path = start
    for part in pattern.split("/")[:-1]:
        if any(letter in part for letter in "*?["):
            break
        path = os.path.join(path, part)
        if os.path.islink(path) and not os.path.exists(path):
            return f"{os.path.relpath(path, start)} is a link that leads nowhere or in a circle"
        if not os.path.isdir(path):
            return f"there is no folder {os.path.relpath(path, start)}"
    return "no file is found"


def escaping(parts: dict[str, Part], root: str) -> list[Problem]:
    """Files and folders that are links out of the user's folder."""
    true = os.path.realpath(root)
    folders: dict[str, bool] = {}
    problems = []
    for file in dict.fromkeys(file for part in parts.values() for sample in part.samples for file in part.of(sample)):
        folder = os.path.dirname(file.path)
        if folder not in folders:
            folders[folder] = _within(os.path.realpath(folder), true)
            if not folders[folder]:
                shown = folder.removeprefix(root + os.sep)
                problems.append(Problem("outside", shown, f"it leads to {os.path.realpath(folder)}"))
        if folders[folder] and os.path.islink(file.path) and not _within(os.path.realpath(file.path), true):
            problems.append(Problem("outside", file.shown, f"it leads to {os.path.realpath(file.path)}"))
    return problems


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def counted(source: Source, parts: dict[str, Part]) -> tuple[list[Problem], list[str]]:
    """Splits with another number of samples than is sure, and remarks on those where it is not."""
    problems, warnings = [], []
    for split, part in parts.items():
        count, number = source.counts.get(split), len(part.samples)
        if count is None or number == count.images:
            continue
        what = f"{number:,} images, and {count.images:,} are known"
        if number in count.also:
            warnings.append(f"{split} has {number:,} images, as another known copy; the usual one has {count.images:,}")
        elif count.sure and number:
            problems.append(Problem("count", split, what + _also(count)))
        elif number:
            warnings.append(f"{split} has {what}, by sources that are not sure; see whether the archive is whole")
    return problems, warnings


def _also(count: Count) -> str:
    return f" ({', '.join(f'{number:,}' for number in count.also)} of other copies)" if count.also else ""


def decoded(parts: dict[str, Part], root: str) -> list[Problem]:
    """All that decoding the files of all splits shows not to fit; each file is decoded once, ever."""
    found: dict[Problem, None] = {}
    with alone(root):
        for part in parts.values():
            if part.files.reader == "mat_blocks":
                found |= dict.fromkeys(_blocks(part))
            else:
                files = list(dict.fromkeys(file for sample in part.samples for file in part.of(sample)))
                seen = dict(zip((file.path for file in files), looks(files, root), strict=True))
                found |= dict.fromkeys(_misfits(part, seen))
    return list(found)


def _blocks(part: Part) -> Iterator[Problem]:
    for file in dict.fromkeys(file for sample in part.samples for file in sample.files):
        try:
            check_blocks(file.path)
        except (ValueError, OSError) as error:
            yield Problem("array", file.shown, str(error))


def _misfits(part: Part, seen: dict[str, Look]) -> Iterator[Problem]:
    """All files that cannot be read, that differ from their partners in size, or from the rest in kind."""
    kinds: dict[str, dict[str, tuple[int, str]]] = {"gt": {}, "lq": {}}
    for sample in part.samples:
        for file in part.of(sample):
            look = seen[file.path]
            if look.problem:
                yield Problem("unreadable", file.shown, look.problem, look.todo)
                continue
            if todo := off_scale(look.low, look.high, clean=file.side == "gt"):
                yield Problem("values", file.shown, f"from {look.low:.4g} to {look.high:.4g}", todo)
            kinds[file.side][file.shown] = _channels(look, part), look.dtype
        yield from _sizes(sample, part, seen)
    if part.files.reader == "npy_bgr":
        yield from _not_bgr(kinds.values())
    for found in filter(None, kinds.values()):
        yield from _unusual(found)


def _channels(look: Look, part: Part) -> int:
    return 1 if part.files.gray and look.channels == 3 else look.channels


def _sizes(sample: Sample, part: Part, seen: dict[str, Look]) -> Iterator[Problem]:
    sound = [file for file in part.of(sample) if not seen[file.path].problem]
    for file in sound[1:]:
        mine, its = seen[file.path], seen[sound[0].path]
        if mine[:2] != its[:2]:
            what = f"{mine.height}×{mine.width}, and {sound[0].shown} is {its.height}×{its.width} (height×width)"
            yield Problem("size", file.shown, what)


def _not_bgr(kinds: Iterable[dict[str, tuple[int, str]]]) -> Iterator[Problem]:
    for found in kinds:
        for name, (channels, dtype) in found.items():
            if (channels, dtype) != (3, "uint8"):
                yield Problem("pixels", name, f"{channels} × {dtype}, and these arrays are 3 × uint8")


def _unusual(found: dict[str, tuple[int, str]]) -> Iterator[Problem]:
    usual = Counter(found.values()).most_common(1)[0][0]
    for name, kind in found.items():
        if kind != usual:
            yield Problem("pixels", name, f"{kind[0]} × {kind[1]}, the rest {usual[0]} × {usual[1]}")
