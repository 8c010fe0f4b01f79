"""Temporary files and folders beside what they become: their names, and which of them nobody works on any more."""

from __future__ import annotations

import glob
import os
import shutil
import time
import uuid
from pathlib import Path

from harness.core.fence import mark

TAG = "([0-9a-f]{16})?[0-9a-f]{8}"
"""Pattern of what stands between the name and `.tmp`: a job and its try, where there is one, and a random number."""


def temporary_beside(path: Path) -> Path:
    """A name beside `path` that nobody else uses."""
    return path.with_name(f".{path.name}.{''.join(mark())}{uuid.uuid4().hex[:8]}.tmp")


def drop_earlier(path: Path) -> None:
    """Removes what tries of the present job that were given up had made of the folder `path`.

    None of them can put it in its place any more (harness.core.fence).
    """
    job, attempt = mark()
    if not job:
        return
    for left in path.parent.glob(f".{glob.escape(path.name)}.{job}{'?' * 16}.tmp"):
        if not left.name.startswith(f".{path.name}.{job}{attempt}"):
            shutil.rmtree(left, ignore_errors=True)


_ABANDONED = 24 * 3600
"""Seconds after which what nobody touched belongs to a process that was killed."""


def abandoned(path: Path) -> bool:
    """Whether the temporary file or folder of a write was left by a process that was killed: by a day without change.

    Files below a folder count, as a folder does not change when its files grow. What is gone by now was not left.
    """
    try:
        newest = path.lstat().st_mtime
        for folder, _, names in os.walk(path):
            newest = max([newest, *(os.lstat(os.path.join(folder, name)).st_mtime for name in names)])
    except OSError:
        return False
    return time.time() - newest > _ABANDONED
