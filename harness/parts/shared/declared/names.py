"""What the names of a folder say: whose data set it holds, and that an archive lies there."""

from __future__ import annotations

import os
import re

from harness.api.source import Layout, Source

_LAST = 2
"""Names of the way to the user's folder that count: farther up lie folders of other things."""

_ARCHIVE = re.compile(r"\.(?:zip|tar|tgz|tbz2?|txz|7z|rar|gz|bz2|xz|zst)(?:\.\d{3})?$|\.z\d\d$", re.IGNORECASE)


def is_archive(name: str) -> bool:
    """Whether a file is packed, by its ending."""
    return bool(_ARCHIVE.search(name))


def sibling(source: Source, root: str, layout: Layout, base: str) -> str:
    """The other data set that a layout in a folder is by the names of the folders; empty: none.

    The deepest name that says anything counts, of the last ones of the folder's real path and those of the folder in
    it; a layout whose patterns name the data set itself is no other.
    """
    given = [pattern for files in layout.splits.values() for pattern in (*files.gt, *files.lq)]
    if any(_called(part, source.folders) for pattern in given for part in pattern.split("/")[:-1]):
        return ""
    way = [*os.path.realpath(root).split(os.sep)[-_LAST:], *base.split("/")]
    for name in reversed(way):
        if _called(name, source.folders):
            return ""
        for other, folders in source.siblings.items():
            if _called(name, folders):
                return other
    return ""


def _called(name: str, folders: tuple[str, ...]) -> bool:
    """Whether a folder has one of these names, in any case, with or without more after it: `rain100l-official`."""
    plain = name.casefold().replace("-", "_")
    starts = [folder.casefold().replace("-", "_") for folder in folders]
    return any(plain.startswith(start) and not plain[len(start) : len(start) + 1].isalnum() for start in starts)
