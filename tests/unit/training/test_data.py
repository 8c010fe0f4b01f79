"""The training stream: what its order depends on, and that it goes on where it stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api.batch import Batch
from harness.api.reference import ORIENTATIONS, Augment, PartRef
from harness.api.sets import FeatureSet
from harness.core.errors import DataError, HarnessError
from harness.data.features import FeatureRows, open_features, write_features
from harness.data.orientation import orient
from harness.data.prepare import prepare_set
from harness.data.shards import RawSample, Sample, ShardSet, to_float
from harness.training import data
from harness.training.data import TrainLoader, buffer_samples, epoch_order
from harness.training.prefetch import Prefetch
from tests.small_set import prepared, registry

N = 54
"""Tiles of the small set."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return prepare_set(prepared(), registry(), tmp_path_factory.mktemp("data"), shard_samples=10)


@pytest.fixture(autouse=True)
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that rows wait and shards matter, as in sets that do not fit into the buffer."""
    monkeypatch.setattr(data, "SHUFFLE_SAMPLES", 16)


def take(shards: ShardSet, count: int, position: int = 0, **options: object) -> list[Batch]:
    settings: dict[str, object] = {"batch": 6, "seed": 0, "augment": "dihedral", "features": None, **options}
    loader = TrainLoader(shards, settings.pop("features"), position=position, **settings)  # type: ignore[arg-type]
    return list(islice(loader, count))


def keys(batches: list[Batch]) -> list[str]:
    return [key for batch in batches for key in batch.keys]


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert keys(one) == keys(other)
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.lq_BCHW, right.lq_BCHW)
        assert torch.equal(left.gt_BCHW, right.gt_BCHW)


def test_batches_are_float_images_of_their_samples(shards: ShardSet) -> None:
    samples = {sample.key: sample for sample in shards.samples()}
    turned = set()
    for batch in take(shards, 9):
        assert batch.lq_BCHW.shape == batch.gt_BCHW.shape == (6, 3, 32, 32)
        assert batch.lq_BCHW.dtype == torch.float32
        assert batch.lq_BCHW.is_contiguous()
        assert batch.prior_BD is None
        for key, lq, gt in zip(batch.keys, batch.lq_BCHW.numpy(), batch.gt_BCHW.numpy(), strict=True):
            turned.add(_orientation(samples[key], lq, gt))
    assert turned == set(range(8))


def _orientation(sample: Sample, lq: np.ndarray, gt: np.ndarray) -> int:
    (found,) = (k for k in range(8) if (to_float(orient(sample.gt, k)).transpose(2, 0, 1) == gt).all())
    np.testing.assert_array_equal(lq, to_float(orient(sample.lq, found)).transpose(2, 0, 1))
    return found


@pytest.mark.parametrize(("augment", "allowed"), [("none", {0}), ("flip", {0, 1}), ("flips", {0, 1, 4, 5})])
def test_augment_limits_the_orientations(augment: Augment, allowed: set[int], shards: ShardSet) -> None:
    samples = {sample.key: sample for sample in shards.samples()}
    seen = set()
    for batch in take(shards, 9, augment=augment):
        for key, lq, gt in zip(batch.keys, batch.lq_BCHW.numpy(), batch.gt_BCHW.numpy(), strict=True):
            seen.add(_orientation(samples[key], lq, gt))
    assert seen == allowed


def test_every_epoch_has_every_sample_once_in_another_order(shards: ShardSet) -> None:
    every = sorted(row.key for row in shards.rows)
    stream = keys(take(shards, 27))
    epochs = [stream[start : start + N] for start in (0, N, 2 * N)]
    assert [sorted(epoch) for epoch in epochs] == [every] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_order_depends_on_the_seed_alone(shards: ShardSet, tmp_path: Path) -> None:
    first = take(shards, 12)
    assert_same(first, take(shards, 12))
    elsewhere = prepare_set(prepared(), registry(), tmp_path, shard_samples=10)
    assert_same(first, take(elsewhere, 12))
    assert keys(first) == keys(take(shards, 12, augment="none")), "order does not depend on the augmentation"
    assert keys(first) == keys(take(shards, 9, batch=8)), "nor on the batch"
    assert keys(first) != keys(take(shards, 12, seed=1))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_are_the_stream_of_one_process(world: int, shards: ShardSet) -> None:
    alone = take(shards, 20)
    ranks = [take(shards, 20, rank=rank, world=world) for rank in range(world)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert [len(part.keys) for part in parts] == [6 // world] * world
        assert whole.keys == [key for part in parts for key in part.keys]
        assert torch.equal(whole.lq_BCHW, torch.cat([part.lq_BCHW for part in parts]))


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("batch", [6, 8])
def test_resuming_anywhere_goes_on_with_the_very_next_sample(batch: int, world: int, shards: ShardSet) -> None:
    count = 2 * N // batch + 1
    for rank in range(world):
        whole = take(shards, count, batch=batch, rank=rank, world=world)
        for done in range(count):
            rest = take(shards, count - done, done * batch, batch=batch, rank=rank, world=world)
            assert_same(rest, whole[done:])


def test_position_counts_what_was_given_not_what_was_read_ahead(shards: ShardSet) -> None:
    loader = TrainLoader(shards, None, batch=6, seed=0, augment="none", position=12)
    assert loader.position == 12
    for number, batch in enumerate(islice(loader, 10), start=1):
        assert loader.position == 12 + 6 * number
        assert len(batch.keys) == 6
    following = next(iter(loader))
    assert following.keys == take(shards, 1, loader.position - 6, augment="none")[0].keys


def test_resuming_opens_only_the_shards_that_are_needed(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    raw = ShardSet.raw

    def noted(self: ShardSet, shard: int) -> Generator[RawSample, None, None]:
        opened.append(shard)
        return raw(self, shard)

    monkeypatch.setattr(ShardSet, "raw", noted)
    loader = TrainLoader(shards, None, batch=1, seed=0, augment="none")
    shard_order, order = epoch_order(shards, 0, 0)
    got = [row for _, row, _ in islice(loader._samples(N - 3, np.ones(N, bool), "order"), 3)]
    assert got == order[-3:].tolist()
    assert set(opened) == {row // 10 for row in got}
    assert len(opened) < len(shard_order)


def test_no_sample_is_needed_before_the_buffer_has_it(shards: ShardSet) -> None:
    shard_order, order = epoch_order(shards, 3, 1)
    arriving = [row for shard in shard_order for row in range(shard * 10, min(shard * 10 + 10, N))]
    assert sorted(order.tolist()) == list(range(N))
    for place, row in enumerate(order.tolist()):
        assert arriving.index(row) < place + 16


def test_the_buffer_is_bounded_in_samples_and_bytes() -> None:
    assert buffer_samples(1000, 10_000) == 16
    assert buffer_samples(7, 10_000) == 7
    assert buffer_samples(1000, 1000 * 2**26) == 4
    assert buffer_samples(3, 2**40) == 1


@pytest.fixture
def features(shards: ShardSet) -> FeatureRows:
    return told(shards, "dihedral")


def told(shards: ShardSet, augment: Augment) -> FeatureRows:
    """Rows that tell which sample and orientation they belong to."""
    made = FeatureSet(prior=PartRef(name="told"), samples=prepared(), reference=prepared(), augment=augment)
    folder = shards.folder.parents[1]
    counts = [entry.samples for entry in shards.manifest.shards]
    numbers = ORIENTATIONS[augment]
    rows = np.array([[row, number] for row in range(N) for number in numbers], np.float32)
    parts = np.split(rows, np.cumsum([len(numbers) * n for n in counts])[:-1])
    write_features(made, folder, parts, samples_manifest_sha256=shards.manifest_sha256)
    return open_features(made, folder)


@pytest.mark.parametrize("augment", ["flips", "dihedral"])
def test_features_are_those_of_the_sample_and_its_orientation(shards: ShardSet, augment: Augment) -> None:
    rows = {row.key: number for number, row in enumerate(shards.rows)}
    samples = {sample.key: sample for sample in shards.samples()}
    for batch in take(shards, 18, features=told(shards, augment), augment=augment):
        assert batch.prior_BD is not None
        assert batch.prior_BD.dtype == torch.float32
        for place, key in enumerate(batch.keys):
            turned = _orientation(samples[key], batch.lq_BCHW[place].numpy(), batch.gt_BCHW[place].numpy())
            assert batch.prior_BD[place].tolist() == [rows[key], turned]


def test_features_do_not_change_the_stream(shards: ShardSet, features: FeatureRows) -> None:
    assert_same(take(shards, 10), take(shards, 10, features=features))


def test_features_of_another_set_are_refused(shards: ShardSet, features: FeatureRows, tmp_path: Path) -> None:
    other = prepare_set(prepared(), registry(), tmp_path, shard_samples=20)
    with pytest.raises(DataError, match="another version of this set"):
        take(other, 1, features=features)
    with pytest.raises(DataError, match="8 orientations, not the 2 of augment 'flip'"):
        take(shards, 1, features=features, augment="flip")


def test_impossible_loaders_are_refused(shards: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="batch of 6 cannot be shared equally by 4"):
        take(shards, 1, world=4)
    whole = prepare_set(prepared("test", tile=None), registry(), tmp_path)
    with pytest.raises(HarnessError, match="whole images"):
        take(whole, 1)


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_leaving_the_loop_ends_the_thread(shards: ShardSet) -> None:
    for _ in TrainLoader(shards, None, batch=6, seed=0, augment="none"):
        assert len(prefetch_threads()) == 1
        break
    assert prefetch_threads() == []


def test_prefetch_forwards_items_errors_and_the_end() -> None:
    def items(fail: bool) -> Generator[int, None, None]:
        yield from range(5)
        if fail:
            raise DataError("gone")

    assert list(Prefetch(lambda: items(False))) == [0, 1, 2, 3, 4]
    got = []
    with pytest.raises(DataError, match="gone"):
        for item in Prefetch(lambda: items(True)):
            got.append(item)
    assert got == [0, 1, 2, 3, 4]
    assert prefetch_threads() == []


def test_prefetch_runs_ahead_by_its_depth_and_no_further() -> None:
    made, closed = [], []

    def items() -> Generator[int, None, None]:
        try:
            for number in range(100):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    running = iter(Prefetch(items, depth=2))
    assert next(running) == 0
    time.sleep(0.3)
    assert len(made) == 4, "one taken, two ready, one in hand"
    running.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_without_a_loss_on_pairs_no_clean_image_is_decoded(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    with_truth = take(shards, 3)

    def refuse(_self: RawSample, _manifest: object) -> np.ndarray:
        raise AssertionError("a clean image was looked at")

    monkeypatch.setattr(RawSample, "clean", refuse)
    without = take(shards, 3, reads={"degraded"})
    assert keys(without) == keys(with_truth)
    assert all(torch.equal(a.lq_BCHW, b.lq_BCHW) for a, b in zip(without, with_truth, strict=True))
    assert all(batch.gt_BCHW is None and batch.clean_BCHW is None for batch in without)


def test_unpaired_images_are_of_scenes_that_are_never_seen_degraded(shards: ShardSet) -> None:
    scenes = {row.key: row.scene for row in shards.rows}
    clean = {sample.key: to_float(sample.gt) for sample in shards.samples()}
    batches = take(shards, 2 * N // 6, reads={"unpaired"}, augment="none")
    degraded = {scenes[key] for key in keys(batches)}
    other = {
        scenes[key]
        for batch in batches
        for image in batch.clean_BCHW
        for key, pixels in clean.items()
        if np.array_equal(image.permute(1, 2, 0).numpy(), pixels)
    }
    assert degraded
    assert other
    assert not degraded & other
    assert degraded | other == set(scenes.values())
    assert all(batch.gt_BCHW is None for batch in batches)


def test_unpaired_streams_go_on_where_they_stopped(shards: ShardSet) -> None:
    whole, rest = take(shards, 6, reads={"unpaired"}), take(shards, 3, position=18, reads={"unpaired"})
    assert keys(rest) == keys(whole[3:])
    assert all(torch.equal(a.clean_BCHW, b.clean_BCHW) for a, b in zip(rest, whole[3:], strict=True))
