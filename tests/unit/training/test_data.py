"""The training stream: what its pixels, noise and order depend on, and that it goes on where it stopped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.batch import Batch
from harness.api.degradation import DegradationTraits
from harness.api.reference import ORIENTATIONS, Augment, PartRef
from harness.api.sets import FeatureSet, Samples
from harness.cells.recipe import Recipe
from harness.core.errors import Damaged, DataError, HarnessError
from harness.core.identity import seed as named_seed
from harness.core.registry import Entry, Registry
from harness.data.features import FeatureRows, Piece, open_features, write_features
from harness.data.orientation import orient
from harness.data.samples import OpenSamples, open_samples
from harness.parts.catalogue import BUILT_IN
from harness.training import data as module
from harness.training.data import TrainLoader
from tests.stored_set import BASE, picture, store

SIDES = ((40, 56), (41, 57), (64, 40), (40, 40), (50, 90), (70, 44), (48, 48))
N = len(SIDES)
OF_LOADERS = {"rank", "world", "position", "reads", "threads", "seed"}
"""Options that are not the recipe's."""
NOISE = PartRef(name="gaussian_noise", options={"sigma": (0.0, 50.0), "quantise": "none"}, drawn=True)


class Restless:
    """Noise of its own generator."""

    traits = DegradationTraits(quantised=False, acts="drawn")

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean + np.float32(np.random.default_rng().random())


def registry() -> Registry:
    here = str(Path(__file__).resolve())
    return Registry(BUILT_IN).extended([Entry("degradation", "restless", f"{here}:Restless")])


def stored_samples(**options: Any) -> list[dict[str, Any]]:
    return [
        {
            "key": f"k{number}",
            "scene": f"s{number // 2}",
            "gt": picture(number, *sides, **options),
            "lq": picture(100 + number, *sides, **options),
        }
        for number, sides in enumerate(SIDES)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    store(BASE, stored_samples(), root)
    return root


@pytest.fixture(scope="module")
def pairs(folder: Path) -> OpenSamples:
    return open_samples(Samples(stored=BASE), registry(), folder)


@pytest.fixture(scope="module")
def noisy(folder: Path) -> OpenSamples:
    return open_samples(Samples(stored=BASE, noise=NOISE), registry(), folder)


def loader(samples: OpenSamples, features: FeatureRows | None = None, **options: Any) -> TrainLoader:
    own = {
        name: options.pop(name) for name in ("rank", "world", "position", "reads", "threads", "seed") if name in options
    }
    recipe = Recipe(**{"batch": 4, "patch": 24, **options})
    return TrainLoader(samples, features, recipe, 0, **{"seed": 0, **own})


def take(samples: OpenSamples, count: int, features: FeatureRows | None = None, **options: Any) -> list[Batch]:
    return list(islice(loader(samples, features, **options), count))


def keys(batches: list[Batch]) -> list[str]:
    return [key for batch in batches for key in batch.keys]


def joined(batches: list[Batch]) -> list[tuple[torch.Tensor, ...]]:
    """Everything of every sample."""
    return [
        (batch.lq_BCHW[place], batch.gt_BCHW[place], *(values[place] for values in batch.settings.values()))
        for batch in batches
        for place in range(len(batch.keys))
    ]


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert keys(one) == keys(other)
    for left, right in zip(joined(one), joined(other), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def drawn(samples: OpenSamples, key: str, epoch: int, seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(named_seed("draw", samples.samples.name, seed, epoch, key))


@pytest.mark.parametrize(("dtype", "patch"), [("uint8", 24), ("uint16", (24, 40)), ("uint8", (40, 24))])
def test_batches_are_the_windows_of_the_stored_images(dtype: str, patch: Any, tmp_path: Path) -> None:
    store(BASE, stored_samples(dtype=dtype), tmp_path)
    samples = open_samples(Samples(stored=BASE), registry(), tmp_path)
    high, wide = (patch, patch) if isinstance(patch, int) else patch
    batches = take(samples, 2 * N // 7, batch=7, patch=patch)
    for epoch, batch in enumerate(batches):
        assert batch.lq_BCHW.dtype == batch.gt_BCHW.dtype == getattr(torch, dtype)
        for key, lq, gt in zip(batch.keys, batch.lq_BCHW.numpy(), batch.gt_BCHW.numpy(), strict=True):
            number = int(key[1:])
            row, column, turn = drawn(samples, key, epoch).random(3)
            height, width = SIDES[number]
            held = high == wide or (height >= wide and width >= high)
            allowed = [k for k in range(8) if held or k // 2 % 2 == 0]
            k = allowed[int(turn * len(allowed))]
            own_high, own_wide = (wide, high) if k // 2 % 2 else (high, wide)
            top, left = int(row * (height - own_high + 1)), int(column * (width - own_wide + 1))
            for got, first in ((gt, 0), (lq, 100)):
                whole = picture(first + number, height, width, dtype=dtype)
                assert np.array_equal(
                    got.transpose(1, 2, 0), orient(whole[top : top + own_high, left : left + own_wide], k)
                )


@pytest.mark.parametrize(("lq", "gt"), [(1, 1), (6, 3), (1, 3)])
def test_images_have_their_own_channels(lq: int, gt: int, tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [
        {"key": str(n), "scene": str(n), "gt": picture(n, 30, 40, gt), "lq": picture(n + 9, 30, 40, lq)} for n in (1, 2)
    ]
    store(BASE, given, tmp_path)
    (batch,) = take(
        open_samples(Samples(stored=BASE), registry(), tmp_path), 1, batch=2, augment="none", patch=(30, 40)
    )
    assert batch.lq_BCHW.shape == (2, lq, 30, 40)
    assert batch.gt_BCHW.shape == (2, gt, 30, 40)
    place = batch.keys.index("1")
    assert np.array_equal(batch.lq_BCHW[place].numpy(), given[0]["lq"].transpose(2, 0, 1))
    assert np.array_equal(batch.gt_BCHW[place].numpy(), given[0]["gt"].transpose(2, 0, 1))


def test_gray_and_colour_in_one_batch_are_refused_with_counts(tmp_path: Path) -> None:
    given = [{"key": str(n), "scene": str(n), "gt": picture(n, 30, 40, n), "lq": picture(n, 30, 40, n)} for n in (1, 3)]
    store(BASE, given, tmp_path)
    with pytest.raises(DataError, match=r"several kinds.*1 of 1 channels uint8, 1 of 3 channels uint8"):
        take(open_samples(Samples(stored=BASE), registry(), tmp_path), 1, batch=2)


def test_drawn_noise_is_that_of_the_oriented_crop_after_its_settings(noisy: OpenSamples) -> None:
    sigmas = []
    for epoch, batch in enumerate(take(noisy, 4, batch=N)):
        assert batch.lq_BCHW.dtype == torch.float32
        assert batch.gt_BCHW.dtype == torch.uint8
        assert batch.settings["sigma"].dtype == torch.float32
        for place, key in enumerate(batch.keys):
            random = drawn(noisy, key, epoch)
            random.random(3)
            sigma = random.uniform(0.0, 50.0)
            clean = batch.gt_BCHW[place].permute(1, 2, 0).numpy().astype(np.float32) / np.float32(255)
            noise = random.standard_normal(clean.shape, dtype=np.float32) * np.float32(sigma / 255.0)
            np.testing.assert_array_equal(batch.lq_BCHW[place].permute(1, 2, 0).numpy(), clean + noise)
            assert batch.settings["sigma"][place] == np.float32(sigma)
            sigmas.append(sigma)
    assert len(set(sigmas)) == 4 * N, "every draw has its own"


@pytest.mark.parametrize(("augment", "allowed"), [("none", {0}), ("flip", {0, 1}), ("flips", {0, 1, 4, 5})])
def test_augment_limits_the_orientations(augment: Augment, allowed: set[int], pairs: OpenSamples) -> None:
    whole = {f"k{n}": picture(n, *sides) for n, sides in enumerate(SIDES)}
    seen = set()
    for batch in take(pairs, 12 * N, batch=1, patch="whole", augment=augment):
        image = batch.gt_BCHW[0].permute(1, 2, 0).numpy()
        seen |= {k for k in range(8) if np.array_equal(orient(whole[batch.keys[0]], k), image)}
    assert seen == allowed


def test_every_epoch_is_another_permutation_of_all(pairs: OpenSamples) -> None:
    stream = keys(take(pairs, 3 * N // 3, batch=3))
    epochs = [stream[start : start + N] for start in (0, N, 2 * N)]
    assert [sorted(epoch) for epoch in epochs] == [[f"k{n}" for n in range(N)]] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    order = np.random.default_rng(named_seed("order", pairs.samples.name, 0, 0)).permutation(N)
    assert epochs[0] == [f"k{n}" for n in order]


def test_the_stream_depends_on_the_seed_alone(noisy: OpenSamples, folder: Path) -> None:
    first = take(noisy, 6)
    assert_same(first, take(open_samples(noisy.samples, registry(), folder), 6))
    assert keys(first) == keys(take(noisy, 6, augment="none")), "order does not depend on the augmentation"
    assert keys(first) == keys(take(noisy, 3, batch=8)), "nor on the batch"
    assert all(torch.equal(a[0], b[0]) for a, b in zip(joined(first), joined(take(noisy, 3, batch=8)), strict=True))
    assert keys(first) != keys(take(noisy, 6, seed=1))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_and_threads_together_are_the_stream_of_one(world: int, threads: int, noisy: OpenSamples) -> None:
    alone = take(noisy, 8, threads=1)
    ranks = [take(noisy, 8, rank=rank, world=world, threads=threads) for rank in range(world)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert [len(part.keys) for part in parts] == [4 // world] * world
        assert_same([whole], [_cat(parts)])


def _cat(parts: list[Batch]) -> Batch:
    return Batch(
        torch.cat([part.lq_BCHW for part in parts]),
        torch.cat([part.gt_BCHW for part in parts]),
        None,
        keys(parts),
        settings={"sigma": torch.cat([part.settings["sigma"] for part in parts])},
    )


@pytest.mark.parametrize("world", [1, 2, 4])
def test_resuming_anywhere_goes_on_with_the_very_next_sample(world: int, noisy: OpenSamples) -> None:
    """From every position, also with another number of ranks than before."""
    whole = take(noisy, 2 * N)
    for done in range(2 * N):
        parts = [take(noisy, 1, position=4 * done, rank=rank, world=world)[0] for rank in range(world)]
        assert_same([_cat(parts)], [whole[done]])


def test_position_counts_what_was_given_not_what_was_read_ahead(pairs: OpenSamples) -> None:
    given = loader(pairs, position=12)
    assert given.position == 12
    for number, _ in enumerate(islice(given, 10), start=1):
        assert given.position == 12 + 4 * number
    left = given.position
    assert next(iter(given)).keys == take(pairs, 1, position=left)[0].keys


def test_four_ranks_read_no_more_than_one(pairs: OpenSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes read from the shards, for the same global batches."""
    spied = _spied(monkeypatch)

    def reading(**options: Any) -> int:
        before = spied()
        batches = loader(open_samples(pairs.samples, registry(), pairs.stored.folder.parents[2]), **options)
        work = batches._work(0)
        for _ in range(N * 8 // options.get("world", 1)):
            batches._draw(next(work))
        return spied() - before

    alone = reading(batch=8)
    together = sum(reading(batch=8, rank=rank, world=4) for rank in range(4))
    assert alone > 0
    assert together <= 1.05 * alone


def _spied(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Gives how many bytes have been read by `os.pread`, through which all images come."""
    total = [0]
    pread = os.pread

    def counted(file: int, length: int, offset: int) -> bytes:
        content = pread(file, length, offset)
        total[0] += len(content)
        return content

    monkeypatch.setattr(os, "pread", counted)
    return lambda: total[0]


@pytest.mark.parametrize(
    ("size", "batches"), [(module.AHEAD_BYTES, module.AHEAD_BATCHES), (2 * 4 * 24 * 24 * 6, 2), (1, 1)]
)
def test_memory_is_bounded_and_flat_over_ten_epochs(
    size: int, batches: int, pairs: OpenSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many samples are begun and not yet given as the budget says, the batch in hand included, and no more."""
    monkeypatch.setattr(module, "AHEAD_BYTES", size)
    begun, work = [0], TrainLoader._work

    def counted(self: TrainLoader, start: int) -> Iterator[Any]:
        for item in work(self, start):
            begun[0] += 1
            yield item

    monkeypatch.setattr(TrainLoader, "_work", counted)
    held = [begun[0] - 4 * number for number, _ in enumerate(islice(loader(pairs, threads=3), 10 * N // 4))]
    assert held == [4 * batches] * (10 * N // 4)


def test_an_error_comes_in_its_place_and_ends_the_threads(pairs: OpenSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    good = keys(take(pairs, 3))
    draw = TrainLoader._draw

    def failing(self: TrainLoader, work: Any) -> Any:
        if work[1:] == (0, int(good[6][1:])):
            raise Damaged("gone")
        return draw(self, work)

    monkeypatch.setattr(TrainLoader, "_draw", failing)
    got = []
    with pytest.raises(Damaged, match="gone"):
        for batch in loader(pairs, threads=4):
            got.append(batch)
    assert keys(got) == good[:4], "the whole batch before the one that fails"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_leaving_the_loop_ends_the_threads(pairs: OpenSamples) -> None:
    running = iter(loader(pairs, threads=2))
    next(running)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("loader")]
    running.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_without_a_loss_on_pairs_no_clean_image_is_decoded(pairs: OpenSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    with_truth = take(pairs, 3)
    sides: set[str] = set()
    image = type(pairs.stored).image

    def noted(self: Any, row: int, side: Any, window: Any = None) -> np.ndarray:
        sides.add(side)
        return image(self, row, side, window)

    monkeypatch.setattr(type(pairs.stored), "image", noted)
    without = take(pairs, 3, reads={"degraded"})
    assert sides == {"lq"}
    assert keys(without) == keys(with_truth)
    assert all(torch.equal(a.lq_BCHW, b.lq_BCHW) for a, b in zip(without, with_truth, strict=True))
    assert all(batch.gt_BCHW is None and batch.clean_BCHW is None for batch in without)


def test_unpaired_images_are_of_scenes_that_are_never_seen_degraded(pairs: OpenSamples) -> None:
    scenes = {f"k{number}": f"s{number // 2}" for number in range(N)}
    clean = {f"k{n}": picture(n, *sides) for n, sides in enumerate(SIDES)}
    batches = take(pairs, 2 * N, batch=1, patch="whole", reads={"unpaired"}, augment="none")
    degraded = {scenes[key] for key in keys(batches)}
    other = {
        scenes[key]
        for batch in batches
        for key, pixels in clean.items()
        if np.array_equal(batch.clean_BCHW[0].permute(1, 2, 0).numpy(), pixels)
    }
    assert degraded == {"s0", "s2"}
    assert other == {"s1", "s3"}
    assert all(batch.gt_BCHW is None for batch in batches)


def test_unpaired_halves_come_apart_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [
        {"key": f"{side}{n}", "scene": f"{side}{n}", side: picture(n + (7 if side == "gt" else 0), 32, 32)}
        for side, number in (("lq", 5), ("gt", 3))
        for n in range(number)
    ]
    store(BASE, given, tmp_path)
    samples = open_samples(Samples(stored=BASE), registry(), tmp_path)
    whole = take(samples, 10, batch=2, reads={"unpaired"})
    assert sorted(keys(whole)[:5]) == [f"lq{n}" for n in range(5)], "an epoch of the degraded half"
    assert all(batch.clean_BCHW is not None and batch.gt_BCHW is None for batch in whole)
    for done in range(10):
        (rest,) = take(samples, 1, batch=2, position=2 * done, reads={"unpaired"})
        assert rest.keys == whole[done].keys
        assert torch.equal(rest.lq_BCHW, whole[done].lq_BCHW)
        assert torch.equal(rest.clean_BCHW, whole[done].clean_BCHW)
    with pytest.raises(DataError, match="no image has a degraded and a clean form"):
        take(samples, 1)


def partly_clean(root: Path, clean: set[int]) -> OpenSamples:
    """Eight scenes of one degraded image each, some of which have a clean one, too."""
    given: list[dict[str, Any]] = [
        {"key": f"k{n}", "scene": f"s{n}", "lq": picture(100 + n, 32, 32)}
        | ({"gt": picture(n, 32, 32)} if n in clean else {})
        for n in range(8)
    ]
    store(BASE, given, root)
    return open_samples(Samples(stored=BASE), registry(), root)


def test_unpaired_images_come_from_scenes_that_have_clean_ones(tmp_path: Path) -> None:
    """Every other one of the scenes 0, 2, 4 and 6. Scenes without a clean image are seen degraded."""
    samples = partly_clean(tmp_path, {0, 2, 4, 6})
    batches = take(samples, 12, batch=1, patch="whole", reads={"unpaired"}, augment="none")
    clean = {picture(n, 32, 32).tobytes(): n for n in range(8)}
    assert {clean[batch.clean_BCHW[0].permute(1, 2, 0).numpy().tobytes()] for batch in batches} == {2, 6}
    assert set(keys(batches)) == {"k0", "k1", "k3", "k4", "k5", "k7"}


@pytest.mark.parametrize(("clean", "reads"), [({3}, {"unpaired"}), ({5}, {"unpaired", "pair"})])
def test_too_few_scenes_with_clean_images_are_said(tmp_path: Path, clean: set[int], reads: set[str]) -> None:
    with pytest.raises(DataError, match="unpaired clean images need two scenes or more that have some"):
        loader(partly_clean(tmp_path, clean), reads=reads)


def test_whole_images_that_are_resized_and_prior_rows_count_as_memory(pairs: OpenSamples, tmp_path: Path) -> None:
    """Two uint8 images of three channels: 6 bytes a pixel; the largest image has 50×90; rows of 2 float32 numbers."""
    assert loader(pairs)._sample_bytes() == 6 * 24 * 24
    assert loader(pairs, resize=(32, 48))._sample_bytes() == 6 * (24 * 24 + 50 * 90)
    assert loader(pairs, told(pairs, "dihedral", tmp_path))._sample_bytes() == 6 * 24 * 24 + 4 * 2


def told(pairs: OpenSamples, augment: Augment, root: Path, **options: Any) -> FeatureRows:
    """Rows that tell which sample and orientation they belong to."""
    made = FeatureSet(
        prior=PartRef(name="told"), samples=pairs.samples, reference=pairs.samples, augment=augment, **options
    )
    number = options.pop("number", N)
    rows = np.array([[n, k] for n in range(number) for k in ORIENTATIONS[augment]], np.float32)
    write_features(made, root, [Piece(np.arange(number), rows)], samples_manifest_sha256=pairs.manifest_sha256)
    return open_features(made, root)


@pytest.mark.parametrize("augment", ["flips", "dihedral"])
def test_features_are_those_of_the_image_and_its_orientation(
    augment: Augment, pairs: OpenSamples, tmp_path: Path
) -> None:
    whole = {f"k{n}": picture(n, *sides) for n, sides in enumerate(SIDES)}
    for batch in take(pairs, 3 * N, told(pairs, augment, tmp_path), batch=1, patch="whole", augment=augment):
        row, turned = batch.prior_BD[0].tolist()
        assert row == int(batch.keys[0][1:])
        assert np.array_equal(orient(whole[batch.keys[0]], int(turned)), batch.gt_BCHW[0].permute(1, 2, 0).numpy())
    upright = told(pairs, "none", tmp_path)
    assert all(batch.prior_BD[:, 1].eq(0).all() for batch in take(pairs, 3, upright)), "one view for all orientations"


def test_features_do_not_change_the_stream(pairs: OpenSamples, tmp_path: Path) -> None:
    assert_same(take(pairs, 10), take(pairs, 10, told(pairs, "dihedral", tmp_path)))


def test_features_of_another_set_are_refused(pairs: OpenSamples, tmp_path: Path) -> None:
    features = told(pairs, "dihedral", tmp_path)
    with pytest.raises(DataError, match="8 orientations, not the 2 of augment 'flip'"):
        take(pairs, 1, features, augment="flip")
    store(BASE, stored_samples()[:3], tmp_path)
    with pytest.raises(DataError, match="another version of this set"):
        take(open_samples(Samples(stored=BASE), registry(), tmp_path), 1, features)


def test_impossible_loaders_are_refused(pairs: OpenSamples) -> None:
    with pytest.raises(HarnessError, match="batch of 4 cannot be shared equally by 3"):
        take(pairs, 1, world=3)
    with pytest.raises(DataError, match="7 sizes cannot make batches of 4"):
        take(pairs, 1, patch="whole")
    with pytest.raises(DataError, match="5 of 7 images are smaller than the 48×48 pixels"):
        take(pairs, 1, patch=48)


def test_small_images_are_continued_by_reflection(pairs: OpenSamples) -> None:
    for batch in take(pairs, N, batch=1, patch=64, pad="reflect", augment="none"):
        number = int(batch.keys[0][1:])
        height, width = SIDES[number]
        image = batch.gt_BCHW[0].permute(1, 2, 0).numpy()
        assert image.shape == (64, 64, 3)
        whole = np.pad(
            picture(number, *SIDES[number]), ((0, max(64 - height, 0)), (0, max(64 - width, 0)), (0, 0)), "reflect"
        )
        places = [
            (top, left) for top in range(whole.shape[0] - 63) for left in range(whole.shape[1] - 63)
            if np.array_equal(whole[top : top + 64, left : left + 64], image)
        ]  # fmt: skip
        assert len(places) == 1


def test_noise_that_does_not_come_from_its_generator_is_refused(folder: Path) -> None:
    samples = open_samples(Samples(stored=BASE, noise=PartRef(name="restless", drawn=True)), registry(), folder)
    with pytest.raises(HarnessError, match="another result for the same image"):
        loader(samples)
