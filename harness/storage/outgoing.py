"""What a job has made so far, on its way to the store while the job goes on.

At each checkpoint a snapshot is taken, of links where files are replaced and never changed, and sent in the background:
a store that is slow or away for some minutes holds up no training. A snapshot that has not been sent when the next one
comes is dropped. The last state is sent when the job has ended, and only then has it succeeded.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.fence import Superseded
from harness.core.paths import remove_away
from harness.storage.copies import Copy
from harness.storage.mirror import unchanged
from harness.storage.sending import publish
from harness.storage.state import stamps

log = logging.getLogger(__name__)

_GROWING = (".jsonl", ".log")
"""Files that are added to in place."""

_current: Outgoing | None = None


def checkpointed() -> None:
    """To be called when a checkpoint has been written: what the job has made is on its way from then on.

    Raises Superseded when another try of the job has begun. Nothing happens outside of jobs whose results go to a
    store.
    """
    if _current is not None:
        _current.send()


class Outgoing:
    """The units that a job writes, while its block runs. The first is here as a whole; of others, such as the folder of
    a cell that is made again elsewhere, only what is shown. `allowed` as harness.storage.sending.publish."""

    def __init__(self, copy: Copy, units: Sequence[str], allowed: Callable[[], None]) -> None:
        self._copy, self._units, self._allowed = copy, tuple(units), allowed
        self._lock = threading.Condition()
        self._next: Path | None = None
        self._ended = False
        self._superseded: Superseded | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Outgoing:
        global _current
        _sweep(self._copy.root / "outgoing")
        _current = self
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the sending in the background, after what it is at."""
        global _current
        _current = None
        with self._lock:
            self._ended = True
            dropped, self._next = self._next, None
            self._lock.notify_all()
        if dropped is not None:
            shutil.rmtree(dropped, ignore_errors=True)
        if self._thread is not None:
            self._thread.join()

    def send(self) -> None:
        """Takes a snapshot and sends it in the background. Raises Superseded."""
        if self._superseded is not None:
            raise self._superseded
        snapshot = self._snapshot()
        with self._lock:
            dropped, self._next = self._next, snapshot
            self._lock.notify_all()
        if dropped is not None:
            shutil.rmtree(dropped, ignore_errors=True)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="store-outgoing", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Sends the last state. To be called after the block. Raises as harness.storage.sending.publish."""
        for unit in self._units:
            if not unchanged(self._copy, unit):
                publish(self._copy, unit, self._allowed, whole=unit == self._units[0])

    def _snapshot(self) -> Path:
        place = self._copy.root / "outgoing" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        for number, unit in enumerate(self._units):
            folder = self._copy.files / unit
            for name in stamps(folder):
                target = place / str(number) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    _link(folder / name, target)
        return place

    def _work(self) -> None:
        while True:
            with self._lock:
                while self._next is None and not self._ended:
                    self._lock.wait()
                if self._next is None:
                    return
                snapshot, self._next = self._next, None
            try:
                self._send(snapshot)
            except Superseded as error:
                self._superseded = error
            except HarnessError as error:
                log.warning("not on the store yet: %s", error)
            except OSError as error:
                log.warning("not on the store yet: %s", error)
            finally:
                shutil.rmtree(snapshot, ignore_errors=True)

    def _send(self, snapshot: Path) -> None:
        for number, unit in enumerate(self._units):
            if (snapshot / str(number)).is_dir():
                publish(self._copy, unit, self._allowed, whole=number == 0, folder=snapshot / str(number))


def _link(source: Path, target: Path) -> None:
    if source.name.endswith(_GROWING):
        shutil.copyfile(source, target)
        return
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _sweep(folder: Path) -> None:
    """Removes the snapshots of processes that are no more: of this machine's, as the copy is."""
    for path in folder.glob("*-*") if folder.is_dir() else ():
        pid = path.name.partition("-")[0]
        if pid.isdigit() and (int(pid) == os.getpid() or not _lives(int(pid))):
            remove_away(path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
