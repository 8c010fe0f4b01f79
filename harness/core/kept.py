"""Copies of a user's plug-ins beside the results, so that jobs run them where the user's own files are not.

What a plug-in is follows from its code and that of its helpers, not from where it lies: a copy has the same versions,
and makes results under the same ids. A copy lies in a folder that is called by the digest of that code, and is never
changed. Files of other kinds beside a plug-in are not copied: a part names those that it reads as options.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.helpers import content_digest, helpers_of
from harness.core.paths import atomic_folder

log = logging.getLogger(__name__)

UNREADABLE = (OSError, ValueError, SyntaxError, RecursionError, MemoryError)
"""What reading a plug-in that is gone or broken raises; whoever runs it tells about it."""


def kept_place(folder: Path, file: str) -> Path:
    """Where the copy of a plug-in lies below a folder of copies. Raises UNREADABLE."""
    return folder / content_digest(file) / Path(file).name


def keep(folder: Path, file: str) -> None:
    """Copies a plug-in with its helpers, if that has not been done.

    Raises UNREADABLE when one cannot be read, or has changed since it was, HarnessError (kind `storage`) when the copy
    cannot be written.
    """
    place = kept_place(folder, file)
    if place.parent.is_dir():
        return
    beside = Path(file).parent
    contents = {Path(path).relative_to(beside): Path(path).read_bytes() for path in (file, *helpers_of(file).files)}
    with atomic_folder(place.parent) as made:
        for name, content in contents.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(content)
        if content_digest(str(made / Path(file).name)) != place.parent.name:
            raise ValueError(f"{file} or a helper of it has changed since it was read")


def usable(files: Sequence[str], copies: Sequence[str]) -> tuple[str, ...]:
    """For each plug-in the file that a job runs: the user's own, or its copy where that is not there or another one.

    `copies`: where they lie (`kept_place`), empty texts for those that were not kept; none at all in jobs of earlier
    releases. Raises HarnessError for a copy that is not what its folder is called by.
    """
    return tuple(_usable(file, copy) for file, copy in zip(files, copies, strict=True)) if copies else tuple(files)


def _usable(file: str, copy: str) -> str:
    wanted = Path(copy).parent.name
    if not copy or _digest(file) == wanted:
        return file
    if not os.path.isfile(copy):
        return file  # whoever reads it says what is wrong with it
    if _digest(copy) != wanted:
        what = f"this copy of the plug-in {file} is not what it was when the run began"
        hint = f"remove {Path(copy).parent}, then run the suite again: it makes the copy anew"
        raise HarnessError(what, where=copy, hint=hint, kind="storage")
    why = "is another version here than the run was planned with" if os.path.exists(file) else "is not on this machine"
    log.warning("the plug-in %s %s: its copy beside the results runs, %s", file, why, copy)
    return copy


def _digest(file: str) -> str:
    """Of a plug-in's code; empty when it cannot be read."""
    try:
        return content_digest(file)
    except UNREADABLE:
        return ""
