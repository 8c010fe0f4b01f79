"""Runs an iterator ahead in a thread, so that reading overlaps with training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE = 0.1
"""Seconds between looks at whether the other side is still there."""


class _Failed:
    """An exception on its way from the thread to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Ended:
    """The iterator has no more items."""


class Prefetch(Generic[T]):
    """Iterates what `make()` gives, up to `depth` items ahead, in the same order.

    An exception in the iterator reaches the consumer at the same position. Closing the iteration, or dropping it, ends
    the thread and closes the iterator.
    """

    def __init__(self, make: Callable[[], Generator[T, None, None]], depth: int = 2) -> None:
        self._make, self._depth = make, depth

    def __iter__(self) -> Generator[T, None, None]:
        ready: Queue[T | _Failed | _Ended] = Queue(self._depth)
        stopped = threading.Event()
        thread = threading.Thread(target=_produce, args=(self._make, ready, stopped), name="prefetch", daemon=True)
        thread.start()
        try:
            while True:
                item = _take(ready, thread)
                if isinstance(item, _Failed):
                    raise item.error
                if isinstance(item, _Ended):
                    return
                yield item
        finally:
            stopped.set()
            thread.join()


def _take(ready: Queue[T | _Failed | _Ended], thread: threading.Thread) -> T | _Failed | _Ended:
    """The next item. Waits in short naps, so that Ctrl-C is heard and a thread that died is noticed."""
    while True:
        try:
            return ready.get(timeout=_PATIENCE)
        except Empty:
            assert thread.is_alive() or not ready.empty(), "the prefetch thread died without a word"


def _produce(make: Callable[[], Generator[T, None, None]], ready: Queue, stopped: threading.Event) -> None:
    try:
        with closing(make()) as items:
            for item in items:
                if not _put(ready, item, stopped):
                    return
        _put(ready, _Ended(), stopped)
    except BaseException as error:  # noqa: BLE001 - forwarded whole, and raised by the consumer
        _put(ready, _Failed(error), stopped)


def _put(ready: Queue, item: object, stopped: threading.Event) -> bool:
    """Hands over an item; False when nobody wants it any more."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=_PATIENCE)
        except Full:
            continue
        return True
    return False
