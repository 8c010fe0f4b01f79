"""A tracker at work beside the run: one thread, so that jobs never wait for a server and a database has one writer."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from harness.api.running import Tracker

AGAIN = 60.0
"""Seconds after which what could not be mirrored is tried again."""


class Background:
    """Calls `tracker.sync` from one thread, with the ids of the cells it was told of.

    `warn` is called once, with the first reason for which a cell could not be mirrored. Such cells are tried again with
    later ones, once a minute, and at the end, as a server may be gone for a while. A process that ends does not wait
    for the thread: whatever it had not mirrored is caught up by `bench track sync`.
    """

    def __init__(self, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._tracker = tracker
        self._warn = warn
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._behind: dict[str, str] = {}
        self._told: set[str] = set()
        self._warned, self._again = False, 0.0
        self._thread = Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def tell(self, cell_id: str) -> None:
        """Says that a cell's record is new or has changed. Returns at once."""
        self._told.add(cell_id)
        self._queue.put(cell_id)

    def finish(self, timeout: float) -> dict[str, str]:
        """Waits at most `timeout` seconds for the rest; gives the reason for each cell that is not mirrored."""
        self._queue.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            unfinished = self._told - self._behind.keys()
            return {**self._behind, **dict.fromkeys(unfinished, f"not confirmed within {timeout:g} s")}
        return dict(self._behind)

    def _work(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            while True:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            going = None not in batch
            cells = list(dict.fromkeys(cell_id for cell_id in batch if cell_id is not None))
            if self._behind and (not going or monotonic() >= self._again):
                cells = list(dict.fromkeys((*cells, *self._behind)))
                self._again = monotonic() + AGAIN
            if cells:
                self._sync(cells)
        self._tracker.close()

    def _sync(self, cells: list[str]) -> None:
        try:
            reasons = self._tracker.sync(cells)
        except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises, the run goes on
            reasons = dict.fromkeys(cells, f"{type(error).__name__}: {error}")
        if reasons and not self._warned:
            self._warned = True
            self._warn(next(iter(reasons.values())))
            self._again = monotonic() + AGAIN
        for cell_id in cells:
            self._behind.pop(cell_id, None)
        self._behind.update(reasons)
