"""What was verified in a folder of files, remembered beside them, so that ten jobs do not hash 100 GB ten times."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

from harness.core.identity import known_sha256, stamp_of

MEMO = ".verified.json"
_SETTLED = 60.0
"""Seconds after which a file that has not changed since is remembered: within one tick of the clock, or by the clock of
another machine, a change may show in no time of change."""


class Verified:
    """The digests of the files in a folder.

    A file is hashed when its stamp (harness.core.identity.stamp_of) is not that under which it was hashed before. A
    context manager: what is new is written at the end, where that is allowed.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MEMO
        self._known: dict[str, list[object]] = {}
        self._new = False
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            known = json.loads(self.path.read_bytes())
            self._known = {name: entry for name, entry in known.items() if isinstance(entry, list) and entry}

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file of the folder. Raises OSError when it cannot be read."""
        status = path.stat()
        stamp = stamp_of(status)
        *known, sha256 = self._known.get(path.name, [None])
        if known == stamp and isinstance(sha256, str):
            return sha256
        found = known_sha256(path)
        if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
            self._known[path.name] = [*stamp, found]
            self._new = True
        return found

    def __enter__(self) -> Verified:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._new or error[0] is not None:
            return
        temporary = self.path.with_name(f"{MEMO}.{uuid.uuid4().hex[:8]}.tmp")
        with suppress(OSError):
            try:
                temporary.write_text(json.dumps(self._known))
                os.replace(temporary, self.path)
            finally:
                temporary.unlink(missing_ok=True)
