"""What was verified in a folder of files, remembered, so that ten jobs do not hash 100 GB ten times.

Whole files are hashed when a set is prepared, fetched, or asked about (`bench data verify`), and when a process opens a
set that nobody on its machine has hashed as it is: 0.65 s a GB, once a machine. The first process hashes while the
others of the machine wait for it, by a lock in the machine's own temporary folder, which a killed process lets go. What
it found stands beside the files, for all machines, and in the machine's temporary folder, for sets that cannot be
written.

That is not what finds a damaged image: every tile that is read carries a checksum of its own, and the header and the
table of tiles before it are compared whole (harness.data.tiff, shard_file), at no further reading. A file that goes bad
after it was hashed is so found in the image that is read, before anything is trained on it; its digest is compared
anew as soon as its stamp differs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.core.beat import beat
from harness.core.identity import known_sha256, stamp_of

MEMO = ".verified.json"
_SETTLED = 60.0
"""Seconds after which a file that has not changed since is remembered: within one tick of the clock, or by the clock of
another machine, a change may show in no time of change."""
_WATCHED = 2.0
"""Seconds for which a file had this stamp before it was hashed, after which this machine remembers it, whatever the
clock of the disk says: no tick of a file system is longer, so that a later change has another stamp."""
_LARGE = 2**26
"""Bytes of a file for which it is worth to wait that long."""
_PATIENCE = 1800.0
"""Seconds to wait for another process; then this one hashes as well."""

Entries = dict[str, list[object]]


class Verified:
    """The digests of the files in a folder.

    A file is hashed when its stamp (harness.core.identity.stamp_of) is not that under which it was hashed before. A
    context manager: what is new is written at the end, where that is allowed, and others who wait go on.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MEMO
        self._here = _Here(folder)
        self._known = _read(self.path)
        self._new: set[str] = set()
        self._seen: dict[str, tuple[list[int], float]] = {}
        with suppress(OSError):
            now = time.monotonic()
            self._seen = {each.name: (stamp_of(each.stat()), now) for each in os.scandir(folder)}

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file of the folder. Raises OSError when it cannot be read."""
        beat()
        stamp = stamp_of(path.stat())
        found = self._believed(path.name, stamp)
        if found is None and self._here.lock():  # somebody may just have hashed it
            self._known |= _read(self.path)
            self._here.read()
            found = self._believed(path.name, stamp)
        return found or self._hashed(path, stamp)

    def _believed(self, name: str, stamp: list[int]) -> str | None:
        for entries in (self._known, self._here.known):
            *known, sha256 = entries.get(name, [None])
            if known == stamp and isinstance(sha256, str):
                return sha256
        return None

    def _hashed(self, path: Path, stamp: list[int]) -> str:
        size, changed = stamp[0], max(stamp[1:3]) / 1e9
        settled = time.time() - changed > _SETTLED
        before, since = self._seen.get(path.name, (None, 0.0))
        watched = time.monotonic() - since if before == stamp else 0.0
        if not settled and size >= _LARGE and before == stamp and watched < _WATCHED and self._here.locked:
            time.sleep(_WATCHED - watched)
            watched = _WATCHED if stamp_of(path.stat()) == stamp else 0.0
        found = known_sha256(path)
        if settled:
            self._known[path.name] = [*stamp, found]
            self._new.add(path.name)
        if settled or watched >= _WATCHED:
            self._here.note(path.name, [*stamp, found])
        return found

    def __enter__(self) -> Verified:
        return self

    def __exit__(self, *error: object) -> None:
        if self._new and error[0] is None:
            _write(self.path, self._known)
        self._here.close()


class _Here:
    """What this machine remembers of a folder, in its own temporary folder, and the lock of those who hash it."""

    def __init__(self, folder: Path) -> None:
        self.known: Entries = {}
        self._handle: IO[bytes] | None = None
        self._asked = self._new = False
        self._path: Path | None = None
        own = _own_folder()
        if own is not None:
            with suppress(OSError):
                place = [os.path.realpath(folder), os.stat(folder).st_dev]
                self._path = own / hashlib.sha256(repr(place).encode()).hexdigest()[:24]
                self.read()

    @property
    def locked(self) -> bool:
        return self._handle is not None

    def read(self) -> None:
        if self._path is not None:
            self.known |= _read(self._path.with_suffix(".json"))

    def lock(self) -> bool:
        """Waits until no other process of this machine hashes the folder. Gives whether it has come to that now; the
        second time it has not."""
        if self._asked or self._path is None:
            return False
        self._asked = True
        with suppress(OSError):
            handle = open(self._path.with_suffix(".lock"), "ab")  # noqa: SIM115 - held until `close`
            end = time.monotonic() + _PATIENCE
            while self._handle is None and time.monotonic() < end:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._handle = handle
                except BlockingIOError:
                    beat()
                    time.sleep(0.05)
            if self._handle is None:
                handle.close()
        return True

    def note(self, name: str, entry: list[object]) -> None:
        self.known[name] = entry
        self._new = True

    def close(self) -> None:
        """Writes what is new, whatever became of the rest, and lets others go on."""
        if self._new and self._path is not None:
            _write(self._path.with_suffix(".json"), self.known)
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _own_folder() -> Path | None:
    """A folder on this machine that nobody else can write; None where there is none to be had."""
    folder = Path(tempfile.gettempdir()) / f"priorbench-verified-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return folder if ours else None


def _read(path: Path) -> Entries:
    """What a memo says; nothing where there is none, or a broken one."""
    try:
        known = json.loads(path.read_bytes())
        return {name: entry for name, entry in known.items() if isinstance(entry, list) and entry}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _write(path: Path, known: Entries) -> None:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with suppress(OSError):
        try:
            temporary.write_text(json.dumps(known))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
