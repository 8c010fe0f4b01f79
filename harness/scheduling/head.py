"""Watches the head of a Ray cluster. When it is lost, Ray ends the driver's process, late and without a word."""

from __future__ import annotations

import os
import socket
import sys
from threading import Event, Thread
from time import monotonic

from harness.core.errors import HarnessError

INTERVAL = 2.0
"""Seconds between looks at the head."""

PATIENCE = 8.0
"""Seconds without an answer after which the head counts as lost."""

SILENCE = 40.0
"""Seconds in which the head takes connections and answers nothing, as one that is frozen. Ray waits for a minute."""

GRACE = 10.0
"""Seconds that the process has to end by itself once the run knows."""

FAILED = 1
"""Exit code of a command that failed (harness.cli.exits)."""


class HeadWatch:
    """A thread that asks the head's port now and then."""

    def __init__(self, address: str) -> None:
        self._address = address
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
        """Lets the process end without Ray's farewell, which would wait for the head and then end in a crash."""
        import atexit

        import ray

        atexit.unregister(ray.shutdown)

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
            now, silent = monotonic(), self._silent_since
            if self._answers():
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
        if not self._told:
            shown_again = "\x1b[?25h" if sys.stderr.isatty() else ""  # a live board had hidden the cursor
            print(f"{shown_again}{self._error()}", file=sys.stderr, flush=True)
        os._exit(FAILED)
