"""Work ahead of the training: samples in threads, and copies to a CUDA device on a stream of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from harness.api.batch import Batch

T = TypeVar("T")
R = TypeVar("R")


class Ahead(Generic[T, R]):
    """What `make` gives for every item, in the order of the items, made in threads; `together` of them at a time.

    No more than `most` items are begun and not yet given, and never fewer than are given together. An exception reaches
    the consumer in place of the items that it is given with. Closing the iteration ends the threads; work that has
    begun is waited for.
    """

    def __init__(self, make: Callable[[T], R], items: Iterable[T], *, together: int, threads: int, most: int) -> None:
        self._make, self._items, self._threads = make, items, threads
        self._together, self._most = together, max(most, together)

    def __iter__(self) -> Generator[list[R], None, None]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="loader")
        begun: deque[Future[R]] = deque()
        items = iter(self._items)
        try:
            while True:
                self._fill(pool, items, begun)
                if not begun:
                    return
                # Taken out before they are given: whoever holds them holds them alone.
                yield [begun.popleft().result() for _ in range(min(self._together, len(begun)))]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self, pool: ThreadPoolExecutor, items: Iterator[T], begun: deque[Future[R]]) -> None:
        while len(begun) < self._most:
            try:
                item = next(items)
            except StopIteration:
                return
            begun.append(pool.submit(self._make, item))


def on_device(batches: Generator[Batch, None, None], device: torch.device | None) -> Generator[Batch, None, None]:
    """The batches, each copied to a CUDA device while the one before it is trained on; unchanged for other devices.

    The copies run on a stream of their own. Closing the iteration closes `batches`.
    """
    if device is None or device.type != "cuda":
        yield from batches
        return
    stream = torch.cuda.Stream(device)
    try:
        ready = _copied(next(batches, None), device, stream)
        while ready is not None:
            torch.cuda.current_stream(device).wait_stream(stream)
            mapped(ready, _used_here)
            given, ready = ready, _copied(next(batches, None), device, stream)
            yield given
    finally:
        batches.close()


def _copied(batch: Batch | None, device: torch.device, stream: torch.cuda.Stream) -> Batch | None:
    if batch is None:
        return None
    with torch.cuda.stream(stream):
        return mapped(batch, lambda tensor: tensor.pin_memory().to(device, non_blocking=True))


def _used_here(tensor: Tensor) -> Tensor:
    """Has the memory of a tensor that was made on another stream kept until the present one is done with it."""
    tensor.record_stream(torch.cuda.current_stream(tensor.device))
    return tensor


def mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with every tensor of images and prior rows changed; settings stay on the host."""

    def changed(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else change(tensor)

    return replace(
        batch,
        lq_BCHW=change(batch.lq_BCHW),
        gt_BCHW=changed(batch.gt_BCHW),
        prior_BD=changed(batch.prior_BD),
        clean_BCHW=changed(batch.clean_BCHW),
    )
