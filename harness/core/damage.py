"""Folders that one job makes and many read: a reader that finds one damaged leaves a note in it, for the next plan."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.core.paths import storage_error

NOTE = "damaged.txt"
"""A line that says which file of the folder is damaged, and how."""


def note_damage(folder: Path, what: str) -> None:
    """Leaves the note in a folder that is there. Where nothing can be written, the error alone has to do."""
    with suppress(OSError):
        if folder.is_dir():
            (folder / NOTE).write_text(what + "\n", encoding="utf-8")


def noted_damage(folder: Path) -> str:
    """The note of a folder; empty without one."""
    try:
        return (folder / NOTE).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def forget_damage(folder: Path) -> None:
    """Removes the note of a folder that turned out to be sound."""
    with suppress(OSError):
        (folder / NOTE).unlink(missing_ok=True)


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Moves a folder (or what lies in its place) aside while the block makes it anew; back again when the block fails.

    Raises HarnessError (kind `storage`) when it cannot be moved.
    """
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise storage_error(error, folder) from error
    try:
        yield
    except BaseException:
        if not os.path.lexists(folder):
            os.rename(aside, folder)
        raise
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)
