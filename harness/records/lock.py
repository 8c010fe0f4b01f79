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
from contextlib import contextmanager
from datetime import UTC, datetime

from harness.core.errors import HarnessError
from harness.core.paths import PLACE_OPTION, Layout, storage_error


@contextmanager
def run_lock(layout: Layout) -> Iterator[None]:
    """Holds the output folder until the block ends.

    Raises HarnessError at once when another run holds it (who, since when, what to do), or when the folder cannot be
    written.
    """
    try:
        layout.out.mkdir(parents=True, exist_ok=True)
        handle = open(layout.lock, "a+", encoding="utf-8")  # noqa: SIM115 - closed below; never truncated before it is ours
    except OSError as error:
        raise storage_error(error, layout.out) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise storage_error(error, layout.lock) from error
            handle.seek(0)
            raise _taken(layout, handle.read()) from None
        try:
            _sign(handle.fileno())
        except OSError as error:
            raise storage_error(error, layout.lock) from error
        try:
            yield
        finally:
            handle.truncate(0)


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
        where=str(layout.out),
        hint=f"wait until it ends, {stop}, or choose another folder with {PLACE_OPTION.get()}",
    )
