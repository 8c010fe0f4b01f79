"""Gray pictures among colour ones, as archives of photographs have some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from harness.parts.shared.declared.samples import Part
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.looks import Look, looks

_RGB, _GRAY = (3, "uint8"), (1, "uint8")


def grays(part: Part, root: str) -> frozenset[str]:
    """Paths of the gray pictures of a split that are read as colour ones (`gray_among`)."""
    files = files_of(part)
    return gray_among(part, dict(zip((file.path for file in files), looks(files, root), strict=True)))


def files_of(part: Part) -> list[File]:
    """The files of a split, each once."""
    return list(dict.fromkeys(file for sample in part.samples for file in part.of(sample)))


def gray_among(part: Part, seen: Mapping[str, Look]) -> frozenset[str]:
    """Paths of the gray pictures of 8 bits where most of their side, and all the others, are colours of 8 bits.

    They are read by repeating the channel, as the field's loaders do, whose cv2.imread gives colours of whatever lies
    there. Files that have a partner of another kind are none: one of both was converted.
    """
    if part.files.reader != "picture" or part.files.gray:
        return frozenset()
    colour = {
        side for side in ("gt", "lq") if _is_colour(seen[file.path] for file in files_of(part) if file.side == side)
    }
    mixed = {file.path for sample in part.samples for file in _mixed(part.of(sample), seen)}
    found = [file for file in files_of(part) if kind_of(seen[file.path]) == _GRAY and file.side in colour]
    return frozenset(file.path for file in found if file.path not in mixed)


def kind_of(look: Look) -> tuple[int, str]:
    """Channels and bits."""
    return look.channels, look.dtype


def remark(split: str, part: Part, chosen: frozenset[str]) -> list[str]:
    """What readers should know of a split with such pictures."""
    names = [file.shown for file in files_of(part) if file.path in chosen]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    said = "among colour ones, read as colour by repeating the channel"
    return [f"{split} has gray pictures {said}: {', '.join(names[:3])}{more}"] if names else []


def _is_colour(side: Iterable[Look]) -> bool:
    kinds = Counter(kind_of(look) for look in side if not look.problem)
    return kinds.keys() <= {_RGB, _GRAY} and kinds[_RGB] > kinds[_GRAY]


def _mixed(files: list[File], seen: Mapping[str, Look]) -> list[File]:
    return files if len({kind_of(seen[file.path]) for file in files}) > 1 else []
