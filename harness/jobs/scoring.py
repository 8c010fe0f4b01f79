"""Restores the images of one test set and scores them; what cannot be had of it is named, and costs nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch

from harness.api.metric import Metric
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol, Sides
from harness.cells.cell import Cell
from harness.core.beat import beat
from harness.core.errors import DataError, FailureClass, HarnessError
from harness.core.guests import FAILURES, contained
from harness.core.memory import memory_told
from harness.core.registry import Registry
from harness.data.samples import Pair
from harness.evaluation.samples import strip_name
from harness.evaluation.score import CPU, Scores, Shared, build_metrics, content_of, score_shared
from harness.evaluation.sight import seen
from harness.jobs.classify import classify, message
from harness.jobs.inputs import Inputs, scorable
from harness.jobs.overlap import Beside, Overlap, Wanted, WriteStrip
from harness.records import store
from harness.records.model import EvaluationRecord

log = logging.getLogger(__name__)

Restore = Callable[[np.ndarray, np.ndarray | None, np.ndarray | None, Sides | None], np.ndarray]
"""Degraded image H×W×C, its prior vector, the truth, for networks that read it in test, and the size at which the
network sees the image where it is not its own, to the restored image."""


@dataclass(frozen=True)
class Evaluation:
    """One protocol under which a test set has to be scored."""

    id: str
    protocol: EvaluationProtocol
    metrics: Mapping[str, PartRef]
    """By key."""
    before: EvaluationRecord | None
    """What is on record of it. Metrics that are not among `metrics` stay."""


@dataclass(frozen=True)
class Trouble:
    """Why a metric is not on record."""

    why: str
    kind: FailureClass = "data"
    lasting: bool = False
    """Whether the same images, weights and metric would be refused again."""


@dataclass
class Scored:
    """What one evaluation gave."""

    metrics: dict[str, str] = field(default_factory=dict)
    """Versions of the metrics that have a value of every image, by key."""
    rows: list[store.ImageRow] = field(default_factory=list)
    """Their values."""
    overlap: str = ""
    """Which pictures of the test set the cell was trained on, where the suite allows that."""
    left_out: dict[str, Trouble] = field(default_factory=dict)
    """Why the others have none, by key."""
    without: dict[str, str] = field(default_factory=dict)
    """Metrics that say nothing of this test set, and why: they are done, without values."""


def trouble_of(error: BaseException, where: str = "") -> Trouble:
    """An exception as the reason for a gap, in one line. `where` comes before what it says itself."""
    if isinstance(error, HarnessError):
        places = " · ".join(dict.fromkeys(filter(None, (where, error.where))))
        text = f"{places}: {error.what}" if places else error.what
        text = f"{text} · try: {error.hint}" if error.hint else text
    else:
        text = f"{where}: {message(error)}" if where else message(error)
    return Trouble(" ".join(text.split()), classify(error))


@dataclass
class Scoring:
    """What restores and scores the images of one test set. Every image is restored once for all protocols under which
    the network gets the same of it."""

    cell: Cell
    inputs: Inputs
    evaluations: Sequence[Evaluation]
    restore: Restore
    title: str
    """What messages and strips call the test set."""
    groups: dict[tuple[Sides | None, Sides | None], list[Evaluation]]
    found: dict[str, Scored]
    metrics: dict[str, dict[str, Metric]]
    """Those of each evaluation that have not failed."""
    beside: Beside | None = None
    """What restores, reads and scores at the same time; None: one after the other."""

    @classmethod
    def begin(
        cls,
        cell: Cell,
        inputs: Inputs,
        evaluations: Sequence[Evaluation],
        restore: Restore,
        registry: Registry,
        title: str,
        beside: Beside | None = None,
    ) -> Scoring:
        """With the metrics made; those that cannot be are left out."""
        found, pairs = {each.id: Scored() for each in evaluations}, bool(inputs.opened.has_gt.any())
        device = CPU if beside is None else beside.device
        metrics = {each.id: _metrics(each, registry, found[each.id], device, pairs=pairs) for each in evaluations}
        return cls(cell, inputs, evaluations, restore, title, by_sight(evaluations), found, metrics, beside)

    def score(
        self, *, strips: int, write: WriteStrip, ready: Mapping[str, Sequence[store.ImageRow]] = MappingProxyType({})
    ) -> dict[str, Scored]:
        """One row per image, protocol and metric, by the evaluation's id. Strips of the first `strips` images are
        written.

        Images that have no counterpart are left out (`not_pairs`). A metric that fails on an image is left out under
        that protocol, with the reason. `ready`: values that are known already, by image; one of which some are lacking
        is scored all the same. Raises HarnessError and its kinds when an image cannot be read or restored: a mean over
        the others would be of another test set.
        """
        keys = self.inputs.opened.index.keys
        wanted = (
            Wanted(row, write if number < strips else None, ready.get(keys[row], ()))
            for number, row in enumerate(scorable(self.inputs.opened).tolist())
        )
        for rows in self._images(wanted):
            for each in rows:
                self.found[each.evaluation].rows.append(each)
        for evaluation in self.evaluations:
            scored = self.found[evaluation.id]
            scored.rows = [row for row in scored.rows if row.metric not in scored.left_out]
            scored.metrics = {
                key: part.version for key, part in evaluation.metrics.items() if key not in scored.left_out
            }
        return self.found

    def part(self, places: range) -> Iterator[list[store.ImageRow]]:
        """The values of the images at some places among those that can be scored, image by image, as `score` has them.

        A metric that fails on an image has no values from there on. Raises as `score`.
        """
        rows = scorable(self.inputs.opened)[places.start : places.stop].tolist()
        return self._images(Wanted(row) for row in rows)

    def _images(self, wanted: Iterator[Wanted]) -> Iterator[list[store.ImageRow]]:
        """The values of images, in their order: those that are known already, where they are whole, else new ones."""
        if self.beside is not None:
            return Overlap(self, self.beside).images(wanted)
        return (list(each.ready) if self.is_whole(each.ready) else self.image(each.row, each.write) for each in wanted)

    def is_whole(self, rows: Sequence[store.ImageRow]) -> bool:
        """Whether these are all the values of an image that are still wanted; never where there is none."""
        there = {(row.evaluation, row.metric) for row in rows}
        return bool(there) and all((of, key) in there for of, metrics in self.metrics.items() for key in metrics)

    def image(self, row: int, write: WriteStrip | None) -> list[store.ImageRow]:
        """The values of one image. `write`: writes its strip."""
        beat()
        pair, rows = self.inputs.opened.pair(row), []
        prior = self.inputs.features.row(row) if self.inputs.features else None
        for (read, through), group in self.groups.items():
            lq, truth = seen(pair, read)
            said = self.said(pair.key, lq)
            with self.restoring(said):
                restored = self.restore(lq, prior, truth, through)
            if write is not None:
                self.show(pair, write, lq, restored, truth)
                write = None
            shared = self.shared(pair.key, restored, truth)
            for evaluation in group:
                scores = score_shared(shared, self.metrics[evaluation.id], evaluation.protocol)
                rows += self.entered(pair, said, evaluation, scores)
        return rows

    def said(self, key: str, lq_HWC: np.ndarray) -> str:
        """An image, its set and its size, as messages name them."""
        height, width = lq_HWC.shape[:2]
        return f"{self._image(key)} (height {height}, width {width})"

    def _image(self, key: str) -> str:
        return f"image {key} of {self.title}"

    @contextmanager
    def restoring(self, said: str) -> Iterator[None]:
        """A block in which one image is restored. Raises HarnessError, with image (`said`), size and cell, for whatever
        the network raises."""
        where = f"{said} in cell {self.cell.id}"
        try:
            with contained(), memory_told("this image was restored", where=where):
                yield
        except FAILURES as error:
            if isinstance(error, HarnessError) and error.where == where:
                raise
            trouble = trouble_of(error)
            raise HarnessError(f"it could not be restored: {trouble.why}", where=where, kind=trouble.kind) from error

    def shared(self, key: str, restored_HWC: np.ndarray, truth_HWC: np.ndarray | None) -> Shared:
        """The image, for its metrics. Raises DataError for one that cannot be scored."""
        try:
            return Shared(restored_HWC, truth_HWC)
        except DataError as error:
            raise DataError(error.what, where=self._image(key), kind=error.kind) from error

    def entered(self, pair: Pair, said: str, evaluation: Evaluation, scores: Scores) -> list[store.ImageRow]:
        """The rows of one image under one protocol. A metric that has failed is not tried on further images.

        `said`: what messages call the image, with its size.
        """
        found, metrics = self.found[evaluation.id], self.metrics[evaluation.id]
        under = f"under {evaluation.protocol.label}"
        for key, why in scores.left_out.items():
            found.left_out[key] = Trouble(f"{self._image(pair.key)} {under}: {why}", lasting=True)
        for key, broken in scores.broken.items():
            log.error("metric %s is left out", key, exc_info=broken)
            found.left_out[key] = trouble_of(broken, f"{said} {under}: {key}")
        for key in (*scores.left_out, *scores.broken):
            del metrics[key]
        named = (evaluation.id, self.inputs.samples.dataset.called, pair.key)
        return [store.ImageRow(*named, key, value, pair.scene, pair.group) for key, value in scores.values.items()]

    def show(
        self,
        pair: Pair,
        write: WriteStrip,
        lq_HWC: np.ndarray,
        restored_HWC: np.ndarray,
        truth_HWC: np.ndarray | None,
    ) -> None:
        """Writes a picture for people to look at: without it, all is scored the same."""
        shown = (lq_HWC, restored_HWC) if truth_HWC is None else (lq_HWC, restored_HWC, truth_HWC)
        samples = self.inputs.samples
        try:
            write(strip_name(self.title, samples.dataset, samples.draw, pair.key), shown)
        except Exception as error:  # noqa: BLE001 - whatever it is, the values matter more
            log.warning("the strip of image %r was not written: %s", pair.key, message(error))


def by_sight(evaluations: Sequence[Evaluation]) -> dict[tuple[Sides | None, Sides | None], list[Evaluation]]:
    """The evaluations under whose protocols a network gets the same of an image, in an order in which those that score
    the same images follow each other."""
    found: dict[tuple[Sides | None, Sides | None], list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault(evaluation.protocol.sight, []).append(evaluation)
    for group in found.values():
        group.sort(key=lambda evaluation: content_of(evaluation.protocol))
    return found


def _metrics(
    evaluation: Evaluation, registry: Registry, found: Scored, device: torch.device, *, pairs: bool
) -> dict[str, Metric]:
    """The metrics of an evaluation, networks on the device; those that cannot be made are left out, and those that say
    nothing of its images.

    `pairs`: whether the test set has clean images.
    """
    made: dict[str, Metric] = {}
    for key, part in evaluation.metrics.items():
        try:
            metric = build_metrics({key: part}, evaluation.protocol, registry, device)
        except FAILURES as error:
            log.exception("metric %s is left out", key)
            found.left_out[key] = trouble_of(error, f"metric {key}")
            continue
        reference = metric[key].traits.reference
        if not evaluation.protocol.measures(reference):
            found.without[key] = f"the protocol {evaluation.protocol.name} compares with clean images"
        elif not pairs and (reference == "full" or evaluation.protocol.needs_truth):
            found.without[key] = "the test set has no clean images"
        else:
            made |= metric
    return made
