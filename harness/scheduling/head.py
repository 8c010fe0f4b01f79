"""Watches the head of a Ray cluster. When it is lost, Ray ends the driver's process, late and without a word."""

from __future__ import annotations

import atexit
import os
import socket
import sys
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

from harness.core.errors import HarnessError

INTERVAL = 2.0
"""Seconds between looks at the head."""

PATIENCE = 6.0
"""Seconds without an answer after which the head counts as lost: `INTERVAL` later at most, and as much again where its
machine is gone and refuses nothing."""

SILENCE = 40.0
"""Seconds in which the head takes connections and answers nothing, as one that is frozen. Ray waits for a minute."""

GRACE = 4.0
"""Seconds that the run has to take note once the head is lost; then Ray holds it. With the above, the loss is said
within 15 s."""

END = 30.0
"""Seconds that a run which has taken note has to end."""

TIDYING = 5.0
"""Seconds in which a process that is ended removes what it has left in the folders."""

FAILED = 1
"""Exit code of a command that failed (harness.cli.exits)."""


class HeadWatch:
    """A thread that asks the head's port now and then. `tidy`: called before it ends the process."""

    def __init__(self, address: str, tidy: Callable[[], object] = lambda: None) -> None:
        self._address, self._tidy = address, tidy
        self._closed, self._lost = Event(), Event()
        self._told = False
        self._silent_since: float | None = None
        Thread(target=self._watch, name="head watch", daemon=True).start()

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    def check(self) -> None:
        """Raises HarnessError when the head is lost."""
        if self.is_lost:
            self._told = True
            raise self._error()

    def note(self, *, heard: bool) -> None:
        """Takes whether the head has answered a question."""
        if heard:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = monotonic()

    def close(self) -> None:
        self._closed.set()

    def leave(self) -> None:
        """Lets the process end as soon as all is said, without Ray's farewell, which waits for the head and crashes."""
        import ray

        atexit.unregister(ray.shutdown)
        atexit.register(_end_at_once)

    def _error(self) -> HarnessError:
        return HarnessError(
            "the head of the Ray cluster does not answer any more: the run is over, and its jobs end with it",
            where=self._address,
            hint="start the cluster again and run the same command: it goes on from the last checkpoints",
            kind="worker_lost",
        )

    def _watch(self) -> None:
        answered = monotonic()
        while not self._closed.wait(INTERVAL):
            answers, silent = self._answers(), self._silent_since
            now = monotonic()
            if answers:
                answered = now
            if now - answered > PATIENCE or (silent is not None and now - silent > SILENCE):
                self._lost.set()
                self._end_process()
                return

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=INTERVAL).close()
        except (OSError, ValueError):
            return False
        return True

    def _end_process(self) -> None:
        """Ends the process when the run cannot: its main thread may be held by Ray."""
        if self._closed.wait(GRACE):
            return
        if self._told:  # it writes down what it has, and says so itself
            if not self._closed.wait(END):
                self._exit()
            return
        shown_again = "\x1b[?25h" if sys.stderr.isatty() else ""  # a live board had hidden the cursor
        print(f"{shown_again}error: {self._error()}", file=sys.stderr, flush=True)
        self._exit()

    def _exit(self) -> None:
        tidying = Thread(target=self._tidy, name="tidying", daemon=True)
        tidying.start()
        tidying.join(TIDYING)  # a disk may be away as well
        os._exit(FAILED)


def _end_at_once() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILED)
