"""One run at a time on one output folder.

The lock is the kernel's (`flock`), so that it vanishes with its process however that ends; the text in the file only
tells the others who holds it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from harness.core.errors import HarnessError
from harness.core.outlast import outlasting
from harness.core.paths import PLACE_OPTION, Layout, storage_error
from harness.records.mirrored import bring_results
from harness.storage.copies import copy_at, shown_place
from harness.storage.lock import store_lock


@contextmanager
def run_lock(layout: Layout) -> Iterator[None]:
    """Holds the output folder until the block ends; of a store that it is the copy of, the store's, too.

    Raises HarnessError at once when another run holds it (who, since when, what to do), or when the folder cannot be
    written.
    """
    copy = copy_at(layout.out)
    with _held(layout, layout.lock, fcntl.LOCK_EX), nullcontext() if copy is None else store_lock(copy):
        bring_results(layout)  # of a store: another run may have ended since it was last looked at
        yield


@contextmanager
def side_lock(layout: Layout, name: str) -> Iterator[None]:
    """Holds the output folder together with others that do so, and `name`, a job's or a cell's id, alone.

    For jobs that run side by side without a driver. Whoever needs the folder alone is refused meanwhile. Raises
    HarnessError as `run_lock`, and for the copy of a store, which only a driver keeps up to date.
    """
    if copy_at(layout.out) is not None:
        hint = "bench run SUITE, or results in a folder that all machines share"
        raise HarnessError("single jobs cannot write into an object store", where=shown_place(layout.out), hint=hint)
    own = layout.lock.with_name(f"{layout.lock.name}.{name}")
    with _held(layout, layout.lock, fcntl.LOCK_SH), _held(layout, own, fcntl.LOCK_EX):
        try:
            yield
        finally:
            with suppress(OSError):
                own.unlink(missing_ok=True)  # before it is let go: who opened it sees that it is not the file any more


@contextmanager
def _held(layout: Layout, path: Path, how: int) -> Iterator[None]:
    """Holds a lock file, alone (LOCK_EX) or beside others (LOCK_SH)."""
    with _opened(layout, path, how) as handle:
        try:
            _sign(handle.fileno())
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            with outlasting(*layout.roots):
                yield
        finally:
            if how == fcntl.LOCK_EX:  # the text of others that hold it, too, stays
                with suppress(OSError):  # whose disk may be away: the kernel's lock ends with the handle
                    handle.truncate(0)


def _opened(layout: Layout, path: Path, how: int) -> IO[str]:
    """The lock file, locked, that is still the file in this place: who held it may have removed it."""
    while True:
        try:
            layout.out.mkdir(parents=True, exist_ok=True)
            handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - given; never truncated before it is ours
        except OSError as error:
            raise storage_error(error, layout.out) from error
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle.fileno()), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        except OSError as error:
            with handle:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise storage_error(error, path) from error
                handle.seek(0)
                raise _taken(layout, handle.read()) from None
        handle.close()


def _sign(descriptor: int) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(holder).encode())


def _taken(layout: Layout, signature: str) -> HarnessError:
    try:
        holder = json.loads(signature)
        who = f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        stop = f"stop it (kill {holder['pid']})" if holder["host"] == socket.gethostname() else "stop it there"
    except (ValueError, KeyError, TypeError):  # the holder has the lock and has not signed yet
        who, stop = "a process that has just started", "stop it"
    return HarnessError(
        f"another run is using this folder: {who}",
        where=shown_place(layout.out),
        hint=f"wait until it ends, {stop}, or choose another folder with {PLACE_OPTION.get()}",
    )
