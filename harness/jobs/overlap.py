"""Images of a test set read ahead, restored and scored at the same time, for machines with a GPU.

The main thread restores, and computes what threads may not (`goes_beside`); threads read the next images, and score
those that are restored. Rows, messages and failures come in the order of the images, as if one image came after the
other. Networks and metrics of the user's get the images in that order, too; only where a network and a metric both draw
from torch's own random state, without a generator of their own, do their draws take turns in another way. Images of one
size that are restored together, or compared with a batch, are taken out of turn: their networks draw nothing
(`batches.goes_apart`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from harness.core.beat import beat
from harness.core.guests import FAILURES, is_guest
from harness.data.samples import Pair
from harness.evaluation.batches import Batches, OnDevice, size_of
from harness.evaluation.infer import Seen
from harness.evaluation.score import Scores, goes_beside, score_shared
from harness.evaluation.sight import seen
from harness.records.images import ImageRow

if TYPE_CHECKING:
    from harness.api.metric import Metric
    from harness.api.task import EvaluationProtocol, Sides
    from harness.jobs.scoring import Evaluation, Scoring

HELD_PIXELS = 2**24
"""Pixels of the images that are read and not yet scored, at most, unless one image has more: 18 of 1280×720. Each pixel
costs 36 bytes of the host's memory, and 100 more while its image is scored."""

WriteStrip = Callable[[str, tuple[np.ndarray, ...]], None]
"""A file's name, and the input, restored and, where there is one, true image."""


class Wanted(NamedTuple):
    """An image whose values are wanted."""

    row: int
    write: WriteStrip | None = None
    """Writes its strip."""
    ready: Sequence[ImageRow] = ()
    """Values that are known already."""


@dataclass(frozen=True)
class Beside:
    """What overlaps the work on a test set."""

    device: torch.device
    """Where networks compute."""
    batches: Batches
    threads: int
    """Threads that read and score, beside the main one."""


class _Scored(NamedTuple):
    """What a thread found of one restored image."""

    restored_HWC: np.ndarray
    scores: Mapping[str, Scores]
    """By the evaluation's id, of the metrics that threads may compute."""
    error: BaseException | None = None
    """Why it cannot be scored."""


@dataclass
class _View:
    """One image as networks see it under some protocols."""

    key: str
    given: Seen
    through: Sides | None
    group: Sequence[Evaluation]
    said: str
    scored: Future[_Scored] | None = None
    error: BaseException | None = None
    """What the network raised."""

    @property
    def size(self) -> tuple[object, ...]:
        return size_of(self.given, self.through)

    @property
    def is_begun(self) -> bool:
        return self.scored is not None or self.error is not None

    @property
    def is_done(self) -> bool:
        return self.error is not None or (self.scored is not None and self.scored.done())


Read = tuple[Pair, Sequence[_View]]


@dataclass
class _Image:
    wanted: Wanted
    pixels: int
    """That it holds: none where its values are known."""
    read: Future[Read] | None
    """None for one whose values are known."""

    def views(self) -> Sequence[_View]:
        """Waits until the image is read; none where it cannot be."""
        if self.read is None or self.read.exception() is not None:
            return ()
        return self.read.result()[1]

    @property
    def is_read(self) -> bool:
        return self.read is None or self.read.done()

    @property
    def is_done(self) -> bool:
        return self.is_read and all(view.is_done for view in self.views())


@dataclass
class Overlap:
    """Restores and scores images, some at a time. For one pass over them."""

    scoring: Scoring
    beside: Beside
    _held: deque[_Image] = field(default_factory=deque)
    """The images that are begun and not yet given, in their order."""
    _pixels: int = 0
    """Theirs, together."""
    _last: torch.cuda.Event | None = None
    """When the device has done what it was given last; None on a CPU, which waits until it is done."""

    def images(self, wanted: Iterator[Wanted]) -> Iterator[list[ImageRow]]:
        """The values of images, in their order. Raises as `Scoring.score`, when the image's turn has come."""
        pool = ThreadPoolExecutor(self.beside.threads, thread_name_prefix="scoring")
        try:
            left = self._fill(pool, wanted, None)
            while self._held:
                goes_on = self._restore(pool)
                while self._held and (self._held[0].is_done or not goes_on):
                    image = self._held.popleft()
                    self._pixels -= image.pixels
                    yield self._finished(image)
                    goes_on = True
                left = self._fill(pool, wanted, left)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self, pool: ThreadPoolExecutor, wanted: Iterator[Wanted], left: Wanted | None) -> Wanted | None:
        """Begins to read images as long as they fit beside the others; gives the one that did not fit any more."""
        index = self.scoring.inputs.opened.index
        while (each := left or next(wanted, None)) is not None:
            left = None
            if self.scoring.is_whole(each.ready):
                self._held.append(_Image(each, 0, None))
                continue
            pixels = int(index.heights[each.row]) * int(index.widths[each.row])
            if self._pixels and self._pixels + pixels > HELD_PIXELS:
                return each
            self._pixels += pixels
            self._held.append(_Image(each, pixels, self._begun(pool, each.row)))
        return None

    def _begun(self, pool: ThreadPoolExecutor, row: int) -> Future[Read]:
        """The reading of an image: in a thread, unless it runs the user's code, a degradation that is drawn."""
        noise = self.scoring.inputs.opened.noise
        if noise is None or not is_guest(type(noise)):
            return pool.submit(self._read, row)
        found: Future[Read] = Future()
        try:
            found.set_result(self._read(row))
        except FAILURES as error:
            found.set_exception(error)
        return found

    def _read(self, row: int) -> Read:
        inputs, views = self.scoring.inputs, []
        pair = inputs.opened.pair(row)
        prior = inputs.features.row(row) if inputs.features else None
        for (read, through), group in self.scoring.groups.items():
            lq, truth = seen(pair, read)
            views.append(_View(pair.key, Seen(lq, prior, truth), through, group, self.scoring.said(pair.key, lq)))
        return pair, views

    def _restore(self, pool: ThreadPoolExecutor) -> bool:
        """Restores the first image that is not yet, for which it waits, and of those behind it that are read as many of
        its size as make a whole batch. False when all are restored."""
        first = next((view for image in self._held for view in image.views() if not view.is_begun), None)
        if first is None:
            return False
        beat()
        chosen, batches = [first], self.beside.batches
        height, width = first.given.lq_HWC.shape[:2]
        most = min(batches.most(first.given, first.through), max(1, HELD_PIXELS // 2 // (height * width)))
        if most > 1:
            alike = list(islice(self._alike(first.size), most))
            chosen = alike if len(alike) == most else [first]
        for view, found in zip(chosen, batches.restored([each.given for each in chosen], first.through), strict=True):
            if isinstance(found, OnDevice):
                self._last = found.done
                view.scored = pool.submit(self._score, view, found, self._asked(view.group))
            else:
                view.error = found
        return True

    def _alike(self, size: tuple[object, ...]) -> Iterator[_View]:
        """The images of one size that are read and not yet restored. One that is not read is waited for only while the
        device has something to do: a GPU shall not stand still for a fuller batch."""
        for image in self._held:
            if image.is_read or not (self._last is None or self._last.query()):
                yield from (view for view in image.views() if not view.is_begun and view.size == size)

    def _asked(self, group: Sequence[Evaluation]) -> list[tuple[str, EvaluationProtocol, dict[str, Metric]]]:
        """What threads compute of an image: the metrics that have not failed so far, by evaluation."""
        found = []
        for evaluation in group:
            own = self.scoring.metrics[evaluation.id]
            beside = {key: metric for key, metric in own.items() if goes_beside(metric)}
            if beside:
                found.append((evaluation.id, evaluation.protocol, beside))
        return found

    def _score(
        self, view: _View, found: OnDevice, asked: Sequence[tuple[str, EvaluationProtocol, dict[str, Metric]]]
    ) -> _Scored:
        with self.scoring.restoring(view.said):
            restored = found.fetched()
        try:
            shared = self.scoring.shared(view.key, restored, view.given.truth_HWC)
            return _Scored(restored, {name: score_shared(shared, own, protocol) for name, protocol, own in asked})
        except FAILURES as error:
            return _Scored(restored, {}, error)

    def _finished(self, image: _Image) -> list[ImageRow]:
        """The rows of the image whose turn it is. Waits for its threads; raises what was raised of it."""
        if image.read is None or self.scoring.is_whole(image.wanted.ready):  # a metric may have failed meanwhile
            return list(image.wanted.ready)
        (pair, views), write, rows = image.read.result(), image.wanted.write, []
        for view in views:
            if view.error is not None:
                with self.scoring.restoring(view.said):
                    raise view.error
            assert view.scored is not None
            scored, truth = view.scored.result(), view.given.truth_HWC
            if write is not None:
                self.scoring.show(pair, write, view.given.lq_HWC, scored.restored_HWC, truth)
                write = None
            if scored.error is not None:
                raise scored.error
            rows += self._rows(pair, view, scored)
        return rows

    def _rows(self, pair: Pair, view: _View, scored: _Scored) -> list[ImageRow]:
        """With the values of the metrics that the main thread computes."""
        shared, rows = None, []
        for evaluation in view.group:
            own = self.scoring.metrics[evaluation.id]
            parts = [scored.scores[evaluation.id]] if evaluation.id in scored.scores else []
            here = {key: metric for key, metric in own.items() if not goes_beside(metric)}
            if here:
                shared = shared or self.scoring.shared(pair.key, scored.restored_HWC, view.given.truth_HWC)
                parts.append(score_shared(shared, here, evaluation.protocol))
            rows += self.scoring.entered(pair, view.said, evaluation, _joined(own, parts))
        return rows


def _joined(metrics: Mapping[str, Metric], parts: Sequence[Scores]) -> Scores:
    """What several calls say of one image, in the order of the metrics; nothing of metrics that have failed before."""
    values = {key: value for part in parts for key, value in part.values.items()}
    left_out = {key: why for part in parts for key, why in part.left_out.items()}
    broken = {key: error for part in parts for key, error in part.broken.items()}
    return Scores(
        {key: values[key] for key in metrics if key in values},
        {key: left_out[key] for key in metrics if key in left_out},
        {key: broken[key] for key in metrics if key in broken},
    )
