"""What is looked at before the first image of a data set is prepared: places, numbers, and pixels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from harness.api.source import Count, Source
from harness.core.errors import DataError
from harness.core.pixels import off_scale
from harness.parts.shared.declared.finding import Found
from harness.parts.shared.declared.grays import files_of, gray_among
from harness.parts.shared.declared.matlab import check_blocks
from harness.parts.shared.declared.samples import Part
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.looks import Look, alone, looks, sha256s
from harness.parts.shared.pictures.pairing import Problem, Sample


def missing(found: Found, start: str) -> list[Problem]:
    """The places of a layout where no file is found."""
    places = dict.fromkeys(pattern for patterns in found.lacking.values() for pattern in patterns)
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


def counted(source: Source, parts: dict[str, Part]) -> tuple[list[Problem], list[str]]:
    """Splits with another number of samples than is sure, and remarks on those where it is not."""
    problems, warnings = [], []
    for split, part in parts.items():
        count, number = source.counts.get(split), len(part.samples)
        if count is None or not number:
            continue
        others = (number, count.images, "images"), (len({each.scene for each in part.samples}), count.scenes, "scenes")
        for found, known, unit in others:
            if known is None or found == known:
                continue
            what = f"{found:,} {unit}, and {known:,} are known"
            if unit == "images" and found in count.also:
                warnings.append(f"{split} has {found:,} images, as another known copy; the usual one has {known:,}")
            elif count.sure:
                problems.append(Problem("count", split, what + (_also(count) if unit == "images" else "")))
            else:
                warnings.append(f"{split} has {what}, by sources that are not sure; see whether the archive is whole")
    return problems, warnings


def _also(count: Count) -> str:
    return f" ({', '.join(f'{number:,}' for number in count.also)} of other copies)" if count.also else ""


def alike(parts: dict[str, Part], root: str) -> list[Problem]:
    """Files that are the same as their partner, byte by byte: one side was copied over the other."""
    pairs = dict.fromkeys(pair for part in parts.values() for sample in part.samples for pair in _even(part.of(sample)))
    digests = _digests([file for pair in pairs for file in pair], root)
    same = [(one, other) for one, other in pairs if digests[one.path] is not None]
    same = [(one, other) for one, other in same if digests[one.path] == digests[other.path]]
    return [Problem("same", other.shown, f"as {one.shown}") for one, other in same]


def _even(files: list[File]) -> list[tuple[File, File]]:
    """The pairs of files of as many bytes."""
    sound = [file for file in files if file.size and not file.error]
    return [(one, other) for at, one in enumerate(sound) for other in sound[at + 1 :] if one.size == other.size]


def _digests(files: list[File], root: str) -> dict[str, str | None]:
    """The digests of files by path, None of all where one cannot be read: decoding names it."""
    try:
        return dict(zip((file.path for file in files), sha256s(files, root), strict=True))
    except DataError:
        return dict.fromkeys(file.path for file in files)


def decoded(parts: dict[str, Part], root: str) -> list[Problem]:
    """All that decoding the files of all splits shows not to fit; each file is decoded once, ever."""
    found: dict[Problem, None] = {}
    with alone(root):
        for part in parts.values():
            if part.files.reader == "mat_blocks":
                found |= dict.fromkeys(_blocks(part))
            else:
                files = files_of(part)
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
    repeated = gray_among(part, seen)
    for sample in part.samples:
        for file in part.of(sample):
            look = seen[file.path]
            if look.problem:
                yield Problem("unreadable", file.shown, look.problem, look.todo)
                continue
            if todo := off_scale(look.low, look.high, clean=file.side == "gt"):
                yield Problem("values", file.shown, f"from {look.low:.4g} to {look.high:.4g}", todo)
            kinds[file.side][file.shown] = 3 if file.path in repeated else _channels(look, part), look.dtype
        yield from _sizes(sample, part, seen)
    if part.files.reader == "npy_bgr":
        yield from _not_bgr(kinds.values())  # the kind is known, whatever most are
    else:
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
