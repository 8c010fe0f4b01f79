"""A disk that is away for a minute: work on it waits, as it does for a store (harness.storage.reach).

A run names the folders that it works in (`outlasting`), and what it reads and writes goes through `outlast`. Outside of
runs, such as when a plan is shown, nothing waits.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from harness.core.beat import beat

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds that a disk may be away."""

AWAY = frozenset([errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN])
"""How a mount answers whose server is gone. A full or a read-only disk, and a refusal, do not pass by themselves."""

_PAUSE = 1.0

_roots: tuple[str, ...] = ()
"""Folders that were there. Of the whole process, as threads read, too."""
_since: float | None = None
"""When the first of the tries failed that go on, or have been given up without any success since."""


@contextmanager
def outlasting(*roots: Path) -> Iterator[None]:
    """Inside, in all threads, `outlast` waits. `roots`: folders that are there, and are away when they are not."""
    global _roots
    before, _roots = _roots, (*_roots, *(os.path.abspath(root) for root in roots))
    try:
        yield
    finally:
        _roots = before


def outlast(action: Callable[[], T], path: Path | str) -> T:
    """What an action on a path gives, tried again for PATIENCE seconds while its disk is away.

    It may have been done in part when it is tried again. A disk that was given up is not waited for anew. Raises what
    the action raises.
    """
    global _since
    began = None
    while True:
        try:
            result = action()
        except OSError as error:
            if not _is_away(error, path):
                raise
            if began is None:
                since = _since  # another thread may forget it
                began = _since = monotonic() if since is None else since
                log.warning("%s: %s; its disk is waited for", path, error.strerror or error)
            if monotonic() - began >= PATIENCE:
                raise
            beat()  # who waits for a disk is not frozen
            sleep(_PAUSE)
        else:
            _since = None
            if began is not None:
                log.warning("%s: its disk is back after %.0f s", path, monotonic() - began)
            return result


def is_there(path: Path) -> bool:
    """Whether a file or folder is there, by a disk that is not away. Raises OSError where that cannot be said."""
    try:
        outlast(lambda: os.stat(path), path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    return True


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, but for a root: one made in place of a disk that is away would hide it."""
    if os.path.abspath(folder) in _roots:
        os.stat(folder)
        return
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError:
        if folder == folder.parent:
            raise
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)


def is_cut_off(error: OSError, path: Path | str) -> bool:
    """Whether a disk that is away, and not given up yet, has ended what is not tried again: its job is."""
    given_up = _since is not None and monotonic() - _since >= PATIENCE
    return not given_up and _is_away(error, path)


def _is_away(error: OSError, path: Path | str) -> bool:
    if error.errno == errno.ENOENT:
        place = os.path.abspath(path)
        return any((place + os.sep).startswith(root + os.sep) and not os.path.isdir(root) for root in _roots)
    return bool(_roots) and error.errno in AWAY
