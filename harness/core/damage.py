"""Folders that one job makes and many read, in several runs at once.

A reader that finds one damaged leaves a note in it, for the next plan. Who makes one holds it (`held`), looks at it
again, as another run may have made it meanwhile, and sets aside what is no good (`set_aside`) until the new one is
there. What a killed process leaves beside it is taken care of by who makes it next (`sweep`).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.core.beat import beat
from harness.core.errors import Damaged, DataError, HarnessError
from harness.core.outlast import make_folder, outlast
from harness.core.paths import remove_away, storage_error
from harness.core.temporary import TAG, abandoned

log = logging.getLogger(__name__)

NOTE = "damaged.txt"
"""A line that says which file of the folder is damaged, and how."""


class Another(Damaged):
    """What lies there is another than was wanted. Behind a link it may be sound, and wanted by others."""


_OTHER_KIND = frozenset([errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP])


def is_damage(error: OSError) -> bool:
    """Whether a file that cannot be read is gone or not a file any more, or its content is no good (no errno).

    Everything else, such as a refused permission, a stale network file or too many open files, says nothing about
    the file: it may be sound for others, and here later.
    """
    return error.errno is None or error.errno in _OTHER_KIND


def unreadable(path: Path, error: OSError, what: str, *, again: str) -> DataError:
    """The error for a file that cannot be read: Damaged, with the hint `again`, only where that will stay so."""
    if is_damage(error):
        return Damaged(what, where=str(path), hint=again)
    return DataError(what, where=str(path), hint="see that it can be read, then run the same command again")


def note_damage(folder: Path, what: str) -> None:
    """Leaves the note in a folder that is there. Where nothing can be written, the error alone has to do."""
    with suppress(OSError):
        if folder.is_dir():
            (folder / NOTE).write_text(what + "\n", encoding="utf-8")


@contextmanager
def damage_noted(folder: Path, *, wanted: bool = True) -> Iterator[None]:
    """Notes the damage of a folder that the block finds (Damaged), if `wanted`, and lets it pass."""
    try:
        yield
    except Damaged as error:
        if wanted and not (isinstance(error, Another) and folder.is_symlink()):
            note_damage(folder, f"{Path(error.where).name}: {error.what}")
        raise


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
def held(folder: Path) -> Iterator[None]:
    """Holds a folder that is there or is to be made, until the block ends: other runs that want to make it wait.

    The lock is the kernel's (`flock` on `.<name>.lock` beside the folder), and vanishes with its process. Where a file
    system has none, nobody waits. Raises HarnessError (kind `storage`) when nothing can be written there.
    """
    lock = folder.with_name(f".{folder.name}.lock")
    descriptor = _locked(lock, folder)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)  # before it is let go: who waits for it sees that it is not the file any more
        os.close(descriptor)


def _locked(lock: Path, folder: Path) -> int:
    """A descriptor of the file that has the lock, and that is still the file in this place."""
    while True:
        try:
            outlast(lambda: make_folder(lock.parent), lock)
            descriptor = _descriptor(lock)
        except OSError as error:
            raise storage_error(error, folder) from error
        try:
            _lock(descriptor, folder)
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _descriptor(lock: Path) -> int:
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # made by another user: to be read is enough
        return os.open(lock, os.O_RDONLY)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            log.debug("no lock on %s: %s", folder, error)
            return
        log.info("waiting for another run, which is making %s", folder)
        while not _got_lock(descriptor):
            beat()  # who waits is not frozen
            time.sleep(0.2)


def _got_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


_ASIDE = ".aside"


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Moves a folder (or what lies in its place) aside while the block makes it anew; back again when the block fails.

    Raises HarnessError (kind `storage`) when it cannot be moved.
    """
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}{_ASIDE}")
    try:
        with suppress(PermissionError):  # another user's
            os.utime(folder, follow_symlinks=False)  # it is old, and shall not count as abandoned now
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
    remove_away(aside)


def sweep(folder: Path) -> None:
    """Ends what killed processes left beside a folder, once they are certainly gone.

    What they set aside is back in its place where nothing has taken it; all else is removed.
    """
    named = re.compile(rf"\.{re.escape(folder.name)}\.{TAG}(\.tmp|\{_ASIDE}(\.{TAG}\.tmp)?)")
    with suppress(OSError, HarnessError):
        left = sorted(path for path in folder.parent.iterdir() if named.fullmatch(path.name))
        old = [path for path in left if abandoned(path)]
        for path in old:
            if path.suffix != _ASIDE:
                remove_away(path)
            elif old != left:
                continue  # somebody may be making the folder, for more than a day, and may want this one back
            elif os.path.lexists(folder):
                remove_away(path)
            else:
                os.rename(path, folder)
