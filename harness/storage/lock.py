"""One run at a time on a store's folder, whichever machines they start on: `lock.json`, which its holder keeps alive.

Ages are told by the store's clock alone, so that no clock of a machine matters.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.core.errors import HarnessError
from harness.core.paths import PLACE_OPTION
from harness.storage.copies import Copy
from harness.storage.store import PROBE

log = logging.getLogger(__name__)

KEY = "lock.json"
HEARTBEAT = 15.0
"""Seconds between two signs of life."""
EXPIRY = 90.0
"""Seconds without one after which a holder counts as dead."""


_held: list[StoreLock] = []
"""Those of this process."""


def check_locks() -> None:
    """Raises HarnessError when another run has taken a folder that this process held, as it was silent for too long.
    To be called before a driver writes."""
    for lock in _held:
        lock.check()


@dataclass(frozen=True)
class Holder:
    """Who holds a folder."""

    owner: str
    pid: int
    host: str
    copy: str
    """The working copy that it writes through."""
    since: str
    silent: float = 0.0
    """Seconds since its last sign of life."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}, last sign of life {self.silent:.0f} s ago"


class StoreLock:
    """A lock that this process holds."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._holder = Holder(
            uuid.uuid4().hex,
            os.getpid(),
            socket.gethostname(),
            copy.id,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._end = threading.Event()
        self._taken_by: Holder | None = None
        self._thread = threading.Thread(target=self._live, name="store-lock", daemon=True)

    def check(self) -> None:
        """Raises HarnessError when another run has taken the folder, as this one was silent for too long."""
        if self._taken_by is not None:
            raise _refusal(self._copy, self._taken_by, "another run has taken this folder, as this one fell silent")

    def begin(self) -> None:
        self._sign()
        found = holder_of(self._copy)
        if found is not None and found.owner != self._holder.owner:
            raise _refusal(self._copy, found, "another run is using this folder")
        self._thread.start()

    def end(self) -> None:
        self._end.set()
        self._thread.join()
        with suppress(HarnessError):  # it expires by itself
            found = holder_of(self._copy)
            if found is not None and found.owner == self._holder.owner:
                self._copy.store.remove([KEY])

    def _sign(self) -> None:
        said = {name: value for name, value in vars(self._holder).items() if name != "silent"}
        self._copy.store.write(KEY, json.dumps(said).encode())

    def _live(self) -> None:
        while not self._end.wait(HEARTBEAT):
            try:
                found = holder_of(self._copy)
                if found is not None and found.owner != self._holder.owner:
                    self._taken_by = found
                    return
                self._sign()
            except HarnessError as error:
                log.warning("no sign of life can be given: %s", error)


def holder_of(copy: Copy) -> Holder | None:
    """Who holds a store's folder; None when nobody does. One that is silent for longer than EXPIRY is told, too."""
    content = copy.store.read(KEY)
    if content is None:
        return None
    try:
        said: dict[str, Any] = json.loads(content)
        return Holder(**said, silent=_silent(copy))
    except (ValueError, TypeError):
        return None


def _silent(copy: Copy) -> float:
    """Seconds since the lock was written, by the store's clock; 0 where it does not say."""
    with suppress(HarnessError):  # who may only read takes every holder for alive
        copy.store.write(PROBE, uuid.uuid4().bytes)
    seen, now = copy.store.find(KEY).get(KEY), copy.store.find(PROBE).get(PROBE)
    if seen is None or now is None or seen.at is None or now.at is None:
        return 0.0
    return max(0.0, now.at - seen.at)


def alive(holder: Holder | None) -> bool:
    return holder is not None and holder.silent <= EXPIRY


@contextmanager
def store_lock(copy: Copy) -> Iterator[StoreLock]:
    """Holds a store's folder until the block ends. To be called under the lock of the working copy, which tells that
    nobody of this machine who used the same copy lives.

    Raises HarnessError at once when another run holds it: who, since when, what to do.
    """
    found = holder_of(copy)
    if found is not None and alive(found) and found.copy != copy.id:
        raise _refusal(copy, found, "another run is using this folder")
    lock = StoreLock(copy)
    lock.begin()
    _held.append(lock)
    try:
        yield lock
    finally:
        _held.remove(lock)
        lock.end()


def _refusal(copy: Copy, holder: Holder, what: str) -> HarnessError:
    hint = f"wait until it ends, stop it, or choose another folder with {PLACE_OPTION.get()}"
    if holder.silent > 2 * HEARTBEAT:
        hint = f"if it has died, try again in {max(1, round(EXPIRY - holder.silent))} s; else {hint}"
    return HarnessError(f"{what}: {holder}", where=copy.url, hint=hint, kind="storage")
