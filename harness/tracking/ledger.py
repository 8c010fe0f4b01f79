"""What has been mirrored where: `<out>/tracking.json`, so that a finished suite can be repeated without a server.

`{uri: {suite: {cell id: SHA-256 of the record that was mirrored}}}`; the database in the folder itself stands as
`mlflow.db`, so that the ledger moves with it. If the file is lost, the server is asked instead.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from harness.core.identity import file_sha256
from harness.core.paths import Layout, write_json

_SHARE = 20
"""Times as long as it takes to write the file it is not written again."""


class Ledger:
    """The ledger of one output folder, for one server and suite. An unreadable file counts as an empty one.

    `older`: what earlier releases called the same server.
    """

    def __init__(self, layout: Layout, uri: str, suite: str, *, older: str = "") -> None:
        self._path = layout.out / "tracking.json"
        self._layout, self._uri, self._suite = layout, uri, suite
        whole = self._read()
        known = whole.get(uri, whole.get(older, {}))
        found = known.get(suite, {}) if isinstance(known, dict) else {}
        self._unwritten, self._next = False, 0.0
        self._mirrored: dict[str, str] = dict(found) if isinstance(found, dict) else {}

    def _read(self) -> dict[str, dict[str, dict[str, str]]]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def behind(self, cell_ids: list[str], *, trust: bool = True) -> dict[str, str]:
        """SHA-256 of the present record of every cell that has one and that is not mirrored as it is now; empty for a
        record that cannot be read.

        Without `trust`, of every cell that has a record.
        """
        present = {cell_id: self._layout.record(cell_id) for cell_id in cell_ids}
        digests = {cell_id: _sha256(path) for cell_id, path in present.items() if os.path.lexists(path)}
        return {cell_id: sha for cell_id, sha in digests.items() if not trust or self._mirrored.get(cell_id) != sha}

    def note(self, mirrored: dict[str, str]) -> None:
        """Adds cells with the digest of the record that the server now has.

        The file is written at most a twentieth of the time, so that it does not cost the square of a suite's cells;
        what a kill loses of it is asked of the server. `flush` writes the rest.
        """
        self._mirrored.update(mirrored)
        self._unwritten = True
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Writes what was noted."""
        if not self._unwritten:
            return
        began = time.monotonic()
        whole = self._read()
        if not isinstance(whole.get(self._uri), dict):
            whole[self._uri] = {}
        whole[self._uri][self._suite] = dict(sorted(self._mirrored.items()))
        write_json(self._path, whole)
        self._unwritten, self._next = False, began + _SHARE * (time.monotonic() - began)

    def forget(self) -> list[str]:
        """Takes nothing for mirrored any more, as the server has lost it; gives the cells that were."""
        known = list(self._mirrored)
        self._mirrored = {}
        whole = self._read()
        if whole.pop(self._uri, None) is not None:  # of all suites, which the same database had
            write_json(self._path, whole)
        return known


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return ""
