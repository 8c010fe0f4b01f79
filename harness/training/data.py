"""The training data: one endless, resumable stream of crops, joined with cached prior rows.

Order, crops, orientations and noise depend on the samples and the seed alone: not on the number of processes, the
threads, the prior, or the machine. So every variant of a backbone sees the same pixels in the same order, and a stream
that starts again at a position goes on with the very crop and noise that would have come next.

Images that no loss reads are not decoded: without a loss that reads pairs, the clean image of a degraded one never is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch

from harness.api.batch import Batch
from harness.api.loss import Reads
from harness.api.reference import ORIENTATIONS
from harness.cells.recipe import Recipe
from harness.core.errors import DataError, HarnessError
from harness.core.identity import seed as named_seed
from harness.data.draw import Cut, SampleList, check_frames, draw_cut, read_cut, sample_list
from harness.data.features import FeatureRows
from harness.data.index import Side
from harness.data.orientation import turned
from harness.data.samples import OpenSamples
from harness.training.collate import Drawn, assembled, chw
from harness.training.join import PriorJoin
from harness.training.prefetch import Ahead, on_device

AHEAD_BATCHES = 4
"""Batches that are read and decoded ahead of the training, the one that comes next included."""
AHEAD_BYTES = 256 * 2**20
"""Size of what is decoded ahead, at most; one batch in any case."""
THREADS = min(4, os.cpu_count() or 1)
"""Threads that read and decode. No result depends on their number."""


@dataclass(frozen=True)
class _Stream:
    """One of the global streams: which samples it permutes in every epoch, and the name of its order."""

    samples: SampleList
    chosen: np.ndarray
    """Places in `samples` of those that the stream gives."""
    name: str


class Batches(Protocol):
    """What a training reads (`TrainLoader`)."""

    position: int

    def to(self, device: torch.device) -> Batches: ...

    def __iter__(self) -> Generator[Batch, None, None]: ...


class TrainLoader:
    """Batches without end. A batch may hold the end of one epoch and the start of the next.

    The *global stream* is every sample of epoch 0 in that epoch's order, a permutation of all, then epoch 1, …; an
    optimizer step takes its next `batch` samples, divided into `world` equal parts; rank r takes part r. A rank reads
    its own samples alone. `position` counts the samples of the global stream up to the end of the last batch given; a
    loader made with that position goes on from there, with another number of ranks as well.

    `features`: of several sets, `prior_BD` has the rows side by side. `stage`: index of the recipe's stage, whose patch
    and batch it gives. `reads`: what the losses read. With "unpaired" degraded images and clean ones come from streams
    of their own: from the halves of a data set that brings them apart, else the clean ones from every other scene that
    has some, so that no scene is seen in both forms. `threads`: see `THREADS`.

    Raises HarnessError when a batch is not a multiple of `world`, DataError when images do not fit the recipe (smaller
    than its patch, of several sizes), a shard is damaged, the features were made from another set, or there are no
    images of the kind that losses read.
    """

    def __init__(
        self,
        samples: OpenSamples,
        features: FeatureRows | Sequence[FeatureRows] | None,
        recipe: Recipe,
        stage: int = 0,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        position: int = 0,
        reads: Collection[Reads] = frozenset[Reads]({"pair"}),
        threads: int = THREADS,
    ) -> None:
        batch = recipe.parts[stage].batch
        assert batch is not None, stage
        where = samples.where
        if batch % world:
            what = f"a batch of {batch} cannot be shared equally by {world} processes"
            raise HarnessError(what, where=where, hint=f"set recipe.batch to a multiple of {world}")
        self.samples, self.position = samples, position
        rows = features if isinstance(features, Sequence) else [] if features is None else [features]
        self._recipe, self._stage, self._seed, self._name = recipe, stage, seed, samples.samples.name
        self._batch, self._rank, self._world, self._threads = batch, rank, world, threads
        self._orientations = ORIENTATIONS[recipe.augment]
        self._paired = "pair" in reads
        self._streams = self._opened(reads)
        for stream in self._streams:
            check_frames(stream.samples, self._orientations, batch, where)
            self._check_kinds(stream)
        self._joins = [PriorJoin(each, samples, recipe) for each in rows]
        samples.check_noise()
        self._device: torch.device | None = None

    def to(self, device: torch.device) -> TrainLoader:
        """Has batches copied to a CUDA device ahead of their step. On other devices they stay as they are."""
        self._device = device
        return self

    def __iter__(self) -> Generator[Batch, None, None]:
        """From `position` on. Threads read and decode ahead; they end with the iteration."""
        start = self.position
        with closing(on_device(self._batches(start), self._device)) as batches:
            for number, batch in enumerate(batches, start=1):
                self.position = start + number * self._batch
                yield batch

    def _opened(self, reads: Collection[Reads]) -> list[_Stream]:
        """The stream of inputs, and that of clean images of other scenes where losses read them."""
        samples = self.samples
        if not samples.has_lq.any():
            what = "there are no degraded images, and the task has no degradation that would make some"
            raise DataError(what, where=samples.where, hint="a data set that brings pairs, or another task")
        wanted = samples.has_lq & samples.has_gt if self._paired else samples.has_lq
        if not wanted.any():
            hint = "losses that read no pairs, or a data set that brings pairs"
            raise DataError("no image has a degraded and a clean form", where=samples.where, hint=hint)
        if "unpaired" not in reads:
            return [self._stream(samples.has_lq, wanted, "order")]
        clean = samples.has_gt & ~samples.has_lq
        if not clean.any():
            apart = _every_other_scene(samples)
            clean, wanted = samples.has_gt & apart, wanted & ~apart
            if not (clean.any() and wanted.any()):
                raise _too_few_scenes(samples)
        return [self._stream(samples.has_lq, wanted, "order"), self._stream(clean, clean, "clean")]

    def _stream(self, listed: np.ndarray, wanted: np.ndarray, name: str) -> _Stream:
        recipe, stage = self._recipe, self._stage
        samples = sample_list(
            self.samples.index,
            crop=recipe.crops[stage],
            regions=recipe.regions,
            grid=recipe.grid(stage),
            resize=recipe.resize,
            pad=recipe.pad,
            rows=listed,
            where=self.samples.where,
        )
        return _Stream(samples, np.flatnonzero(wanted[samples.rows]), name)

    def _check_kinds(self, stream: _Stream) -> None:
        """Raises DataError when images that go into one batch differ in channels or in the type of their pixels."""
        rows = np.unique(stream.samples.rows[stream.chosen])
        sides: set[Side] = {"gt"} if stream.name == "clean" or self.samples.noise is not None else {"lq"}
        if self._paired:
            sides.add("gt")
        for side in sorted(sides):
            places = self.samples.index.places[side]
            found = Counter((int(places.numbers[row, 5]), places.dtypes[row]) for row in rows.tolist())
            if len(found) > 1 and self._batch > 1:
                kinds = ", ".join(f"{count:,} of {c} channels {dtype}" for (c, dtype), count in found.most_common())
                what = f"{'clean' if side == 'gt' else 'degraded'} images of several kinds cannot make a batch: {kinds}"
                hint = "a data set whose images have one number of channels and one type of pixels"
                raise DataError(what, where=self.samples.where, hint=hint)

    def _batches(self, start: int) -> Generator[Batch, None, None]:
        share = self._batch // self._world
        together = share * len(self._streams)
        ahead = Ahead(self._draw, self._work(start), together=together, threads=self._threads, most=self._most())
        self.samples.stored.fetch_ahead(self._rows(start))
        try:
            with closing(iter(ahead)) as batches:
                for drawn in batches:
                    yield assembled(drawn[:share], drawn[share:])
        finally:
            self.samples.stored.close()

    def _rows(self, start: int) -> Iterator[int]:
        """The rows that this rank reads in the course of an epoch from a position on, in that order."""
        samples = max(len(stream.chosen) for stream in self._streams) * len(self._streams) // self._world
        for stream, _, sample in islice(self._work(start), samples):
            yield stream.samples.row(sample)

    def _work(self, start: int) -> Iterator[tuple[_Stream, int, int]]:
        """(stream, epoch, sample) of all that this rank gives, in the order in which batches take it."""
        share = self._batch // self._world
        streams = [_places(stream, self._name, self._seed, start) for stream in self._streams]
        first = self._rank * share
        while True:
            for stream, places in zip(self._streams, streams, strict=True):
                for epoch, sample in list(islice(places, self._batch))[first : first + share]:
                    yield stream, epoch, sample

    def _most(self) -> int:
        """Samples that may be in memory at once, beside the batch that is trained on."""
        share = self._batch // self._world * len(self._streams)
        return max(share, min(AHEAD_BATCHES * share, AHEAD_BYTES // self._sample_bytes()))

    def _sample_bytes(self) -> int:
        """Size of the largest sample in memory: its pixels, those of the whole image that is resized, its prior row."""
        pixels = max(_largest(stream.samples) for stream in self._streams)
        if self._recipe.resize is not None:
            index = self.samples.index
            pixels += int((np.asarray(index.heights, np.int64) * np.asarray(index.widths, np.int64)).max())
        return max(1, pixels * self._pixel_bytes() + self._prior_bytes())

    def _prior_bytes(self) -> int:
        """Bytes of a sample's prior rows, float32."""
        return sum(4 * int(np.prod(join.features.prior_dim)) for join in self._joins)

    def _pixel_bytes(self) -> int:
        """Bytes of a pixel of both images, by the first row; noise that is drawn is float32."""
        row = self.samples.index[int(self._streams[0].samples.rows[0])]
        members = [member for member in (row.gt, row.lq) if member is not None]
        sizes = [member.channels * np.dtype(member.dtype).itemsize for member in members]
        return sum(sizes) + (4 * members[0].channels if self.samples.noise is not None else 0)

    def _draw(self, work: tuple[_Stream, int, int]) -> Drawn:
        """One sample, read, cut, turned, and with its noise. Runs in threads."""
        stream, epoch, sample = work
        opened, found = self.samples, stream.samples
        key, row = found.key(sample), found.row(sample)
        random = np.random.default_rng(named_seed("draw", self._name, self._seed, epoch, key))
        cut = draw_cut(found.region(sample), found.crop, self._orientations, random)
        if stream.name == "clean":
            return Drawn(key, gt=chw(self._read(found, row, "gt", cut)))
        settings: dict[str, float] = {}
        gt = self._read(found, row, "gt", cut) if self._paired or opened.noise is not None else None
        if opened.noise is not None:
            assert gt is not None
            gt = np.ascontiguousarray(gt)
            lq, settings = opened.drawn(gt, random, key)
        else:
            lq = self._read(found, row, "lq", cut)
        if gt is not None and gt.shape[:2] != lq.shape[:2]:
            sizes = " and ".join("×".join(map(str, image.shape[:2])) for image in (lq, gt))
            raise DataError(f"the degraded and the clean image differ in size: {sizes}", where=f"image {key!r}")
        truth = chw(gt) if gt is not None and self._paired else None
        rows = [join.row(sample, row, cut) for join in self._joins]
        prior = np.concatenate(rows) if len(rows) > 1 else rows[0] if rows else None
        return Drawn(key, chw(lq), truth, prior, settings)

    def _read(self, found: SampleList, row: int, side: str, cut: Cut) -> np.ndarray:
        image = read_cut(self.samples.stored, row, side, cut.window, cut.sides, found.resize)
        return turned(image, cut.orientation)


def _places(stream: _Stream, name: str, seed: int, start: int) -> Iterator[tuple[int, int]]:
    """(epoch, sample) of a global stream from a position on."""
    number = len(stream.chosen)
    epoch, first = divmod(start, number)
    while True:
        order = epoch_order(stream.name, name, seed, epoch, number)
        for place in order[first:].tolist():
            yield epoch, int(stream.chosen[place])
        epoch, first = epoch + 1, 0


def epoch_order(order: str, samples: str, seed: int, epoch: int, number: int) -> np.ndarray:
    """The order of one epoch: a permutation of `number` places. `order`: "order", or "clean" for unpaired images."""
    return np.random.default_rng(named_seed(order, samples, seed, epoch)).permutation(number)


def _largest(samples: SampleList) -> int:
    """Pixels of the largest sample."""
    if samples.crop is not None:
        return samples.crop[0] * samples.crop[1]
    return int(samples.regions[:, 2:].prod(1).max())


def _every_other_scene(samples: OpenSamples) -> np.ndarray:
    """Mask of the rows of every other scene of those with clean images, which stand for unpaired ones."""
    scenes = samples.index.scenes
    chosen = set(sorted({scenes[row] for row in np.flatnonzero(samples.has_gt)})[1::2])
    return np.array([scene in chosen for scene in scenes], dtype=bool)


def _too_few_scenes(samples: OpenSamples) -> DataError:
    what = "unpaired clean images need two scenes or more that have some"
    return DataError(what, where=samples.where, hint="another data set")
