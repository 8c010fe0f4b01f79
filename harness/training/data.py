"""The training data: one endless, resumable stream of samples from shards, joined with cached prior rows.

Order and orientation depend on the prepared set and the seed alone: not on the number of processes, the prior, or the
machine. So every variant of a backbone sees the same samples in the same order, and a stream that starts again at a
position goes on with the very sample that would have come next.

Images that no loss reads are not decoded: without a loss that reads pairs, the clean image of a degraded one never is.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack, closing
from itertools import count, islice

import numpy as np
import torch

from harness.api.batch import Batch
from harness.api.loss import Reads
from harness.api.reference import ORIENTATIONS, Augment
from harness.core.errors import DataError, HarnessError
from harness.core.identity import seed as named_seed
from harness.data.features import FeatureRows
from harness.data.orientation import orient
from harness.data.shards import RawSample, ShardSet, to_float
from harness.training.prefetch import Prefetch

SHUFFLE_SAMPLES = 4096
"""Largest number of samples, undecoded, in the shuffle buffer."""
SHUFFLE_BYTES = 256 * 2**20
"""Largest size of the shuffle buffer in memory."""


class TrainLoader:
    """Batches without end. A batch may hold the end of one epoch and the start of the next.

    The *global stream* is every sample of epoch 0 in that epoch's order, then epoch 1, …; an optimizer step takes its
    next `batch` samples, divided into `world` equal parts; rank r takes part r.
    `position` counts the samples of the global
    stream up to the end of the last batch given; a loader made with that position goes on from there.

    `reads`: what the losses read. With "unpaired" every other scene gives degraded images and the rest give clean ones,
    in a stream of their own; no scene is seen in both forms.

    Raises HarnessError when `batch` is not a multiple of `world` or the set holds whole images, DataError when a shard
    is damaged, the features were made from another set, or unpaired images would have to come from a single scene.
    """

    def __init__(
        self,
        shards: ShardSet,
        features: FeatureRows | None,
        *,
        batch: int,
        seed: int,
        augment: Augment,
        rank: int = 0,
        world: int = 1,
        position: int = 0,
        reads: Collection[Reads] = frozenset[Reads]({"pair"}),
    ) -> None:
        prepared = shards.manifest.set
        where = f"prepared set {prepared.name}/{prepared.split}"
        if prepared.tile is None:
            raise HarnessError("whole images cannot be batched for training", where=where, hint="set recipe.patch")
        if batch % world:
            raise HarnessError(
                f"a batch of {batch} cannot be shared equally by {world} processes",
                where=where,
                hint=f"set recipe.batch to a multiple of {world}",
            )
        if features is not None:
            _check_features(shards, features, augment, where)
        self.shards, self.features, self.position = shards, features, position
        self._batch, self._seed, self._rank, self._world = batch, seed, rank, world
        self._orientations = ORIENTATIONS[augment]
        self._starts = np.cumsum([0, *(shard.samples for shard in shards.manifest.shards)])
        self._paired = "pair" in reads
        self._rows, self._clean_rows = np.ones(len(shards), bool), None
        if "unpaired" in reads:
            self._clean_rows = _every_other_scene(shards, where)
            self._rows = ~self._clean_rows

    def __iter__(self) -> Generator[Batch, None, None]:
        """From `position` on. The next batches are read and decoded in a thread, which ends with the iteration."""
        start = self.position
        with closing(iter(Prefetch(lambda: self._batches(start)))) as batches:
            for number, batch in enumerate(batches, start=1):
                self.position = start + number * self._batch
                yield batch

    def _batches(self, start: int) -> Generator[Batch, None, None]:
        share = self._batch // self._world
        with ExitStack() as stack:
            samples = stack.enter_context(closing(self._samples(start, self._rows, "order")))
            clean: Iterator[tuple[int, int, RawSample]] = iter(())
            if self._clean_rows is not None:
                clean = stack.enter_context(closing(self._samples(start, self._clean_rows, "clean")))
            while True:
                yield self._assemble(list(islice(samples, share)), list(islice(clean, share)))

    def _samples(self, start: int, rows: np.ndarray, name: str) -> Generator[tuple[int, int, RawSample], None, None]:
        """This rank's share of a global stream of some rows: (epoch, row, undecoded sample)."""
        share = self._batch // self._world
        for epoch in count(start // int(rows.sum())):
            shard_order, order = epoch_order(self.shards, self._seed, epoch, name)
            order = order[rows[order]]
            places = epoch * len(order) + np.arange(len(order)) - start
            mine = (places >= 0) & (places % self._batch // share == self._rank)
            with closing(self._read(shard_order, order[mine])) as found:
                for row, sample in found:
                    yield epoch, row, sample

    def _read(self, shard_order: np.ndarray, order: np.ndarray) -> Generator[tuple[int, RawSample], None, None]:
        """The rows of `order` in that order. Shards are read one after the other, samples wait for their turn."""
        wanted = np.zeros(len(self.shards), bool)
        wanted[order] = True
        waiting: dict[int, RawSample] = {}
        with closing(self._walk(shard_order, wanted)) as incoming:
            for row in order.tolist():
                while row not in waiting:
                    found, sample = next(incoming)
                    waiting[found] = sample
                yield row, waiting.pop(row)

    def _walk(self, shard_order: np.ndarray, wanted: np.ndarray) -> Generator[tuple[int, RawSample], None, None]:
        """The wanted samples, shard after shard. Shards without any are not opened."""
        for shard in shard_order.tolist():
            first, after = self._starts[shard], self._starts[shard + 1]
            if wanted[first:after].any():
                for row, sample in enumerate(self.shards.raw(shard), start=int(first)):
                    if wanted[row]:
                        yield row, sample

    def _assemble(self, samples: list[tuple[int, int, RawSample]], clean: list[tuple[int, int, RawSample]]) -> Batch:
        manifest = self.shards.manifest
        lqs, gts, priors = [], [], []
        for epoch, row, raw in samples:
            place = self._place(epoch, raw.key)
            orientation = self._orientations[place]
            if self._paired:
                lq, gt = raw.decode(manifest)
                gts.append(orient(gt, orientation))
            else:
                lq = raw.degraded(manifest)
            lqs.append(orient(lq, orientation))
            if self.features is not None:
                shard = int(np.searchsorted(self._starts, row, side="right")) - 1
                priors.append(self.features.row(shard, row - int(self._starts[shard]), place))
        others = [
            orient(raw.clean(manifest), self._orientations[self._place(epoch, raw.key)]) for epoch, _, raw in clean
        ]
        return Batch(
            lq_BCHW=_stack(lqs),
            gt_BCHW=_stack(gts) if gts else None,
            prior_BD=torch.from_numpy(np.stack(priors)) if priors else None,
            keys=[raw.key for _, _, raw in samples],
            clean_BCHW=_stack(others) if others else None,
        )

    def _place(self, epoch: int, key: str) -> int:
        """Place of a sample's orientation among those of the augmentation."""
        return named_seed("orient", self.shards.manifest.set.name, self._seed, epoch, key) % len(self._orientations)


def epoch_order(shards: ShardSet, seed: int, epoch: int, name: str = "order") -> tuple[np.ndarray, np.ndarray]:
    """(order of the shards, order of the rows) of one epoch of the stream of that name.

    Shards are permuted; then rows leave a bounded buffer at random, each replaced by the next row of the shards. So no
    sample is needed before its shard comes, and at most a buffer of them waits.
    """
    manifest = shards.manifest
    random = np.random.default_rng(named_seed(name, manifest.set.name, seed, epoch))
    shard_order = random.permutation(len(manifest.shards))
    starts = np.cumsum([0, *(shard.samples for shard in manifest.shards)])
    arriving = np.concatenate([np.arange(starts[shard], starts[shard + 1]) for shard in shard_order]).tolist()
    size = buffer_samples(manifest.samples, manifest.bytes)
    buffer, order = arriving[:size], []
    for row, slot in zip(arriving[size:], random.integers(0, size, max(len(arriving) - size, 0)).tolist(), strict=True):
        order.append(buffer[slot])
        buffer[slot] = row
    rest = random.permutation(len(buffer))
    return shard_order, np.array([*order, *(buffer[place] for place in rest)])


def buffer_samples(samples: int, size: int) -> int:
    """Samples in the shuffle buffer of a set that has `samples` in `size` bytes: a property of the set alone."""
    return max(1, min(SHUFFLE_SAMPLES, samples, SHUFFLE_BYTES * samples // max(size, 1)))


def _every_other_scene(shards: ShardSet, where: str) -> np.ndarray:
    """Mask of the rows whose clean images stand for unpaired ones."""
    scenes = [row.scene for row in shards.rows]
    chosen = set(sorted(set(scenes))[1::2])
    if not chosen:
        raise DataError("unpaired clean images need two scenes or more", where=where, hint="another data set")
    return np.array([scene in chosen for scene in scenes])


def _stack(images: list[np.ndarray]) -> torch.Tensor:
    """H×W×3 images to a contiguous float32 B×3×H×W."""
    return torch.from_numpy(np.ascontiguousarray(to_float(np.stack(images)).transpose(0, 3, 1, 2)))


def _check_features(shards: ShardSet, features: FeatureRows, augment: Augment, where: str) -> None:
    if features.samples_manifest_sha256 != shards.manifest_sha256:
        raise DataError(
            "the prior features were made from another version of this set",
            where=where,
            hint="delete the feature folder and run the suite again",
        )
    needed = len(ORIENTATIONS[augment])
    if features.orientations not in (1, needed):
        raise DataError(
            f"the prior features hold {features.orientations} orientations, not the {needed} of augment {augment!r}",
            where=where,
            hint="run the suite again, which computes them",
        )
