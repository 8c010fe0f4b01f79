"""Prepared sets: what is in them, and that the same set is the same bytes everywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.degradation import DegradationTraits
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256, seed
from harness.core.registry import Registry
from harness.data import prepare
from harness.data.degrade import degrade
from harness.data.manifest import MANIFEST, Skipped
from harness.data.prepare import prepare_set
from harness.data.prints import known_prints
from harness.data.shards import ShardSet, open_set
from harness.parts.degradations.low_light import LowLight
from tests.small_set import TEST, TRAIN, Small, blobs, prepared, registry


def shas(opened: ShardSet) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(opened.folder.glob("[!.]*"))}


def clean(split: str = "train") -> PreparedSet:
    """The set of the clean images."""
    return prepared(split, "noisy")


Bring = Callable[[object], Registry]


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Puts one data set in place of all; gives the registry."""

    def put(dataset: object) -> Registry:
        monkeypatch.setattr("harness.data.images.opened", lambda *given: dataset)
        return registry()

    return put


def stored(dataset: object, split: str = "train", by: PartRef | None = None) -> PreparedSet:
    ref = PartRef(name="given", digest=dataset.fingerprint())  # type: ignore[attr-defined]
    return PreparedSet(dataset=ref, split=split, degradation=by)


def test_whole_images_are_stored_once_as_they_are(tmp_path: Path) -> None:
    opened = prepare_set(clean(), registry(), tmp_path)
    assert opened.folder == tmp_path / "sets" / clean().name / "train"
    assert (opened.manifest.images, opened.manifest.samples, len(opened.manifest.shards)) == (6, 6, 1)
    assert (opened.manifest.licence, opened.manifest.parents) == ("made by the tests", ())
    assert opened.index.keys == list(TRAIN)
    assert opened.index.scenes == list(TRAIN)
    assert not opened.index.has("lq").any()
    for row in range(6):
        np.testing.assert_array_equal(opened.image(row, "gt"), blobs(row))


@pytest.mark.parametrize("split", ["train", "test"])
def test_degraded_images_lie_beside_the_clean_ones_which_are_stored_once(split: str, tmp_path: Path) -> None:
    opened = prepare_set(prepared(split), registry(), tmp_path)
    base = open_set(clean(split), tmp_path)
    assert opened.manifest.parents == (base.manifest_sha256,)
    assert opened.manifest.licence == "made by the tests"
    assert opened.index.keys == list(TRAIN if split == "train" else TEST)
    first = 0 if split == "train" else 100
    for row, key in enumerate(opened.index.keys):
        pixels = blobs(first + row)
        random = np.random.default_rng(seed("degrade", "low_light", "low_light", "small", split, key))
        expected = LowLight()(pixels.astype(np.float32) / np.float32(255), random)
        np.testing.assert_array_equal(opened.image(row, "lq"), np.rint(expected.clip(0, 1) * 255).astype(np.uint8))
        np.testing.assert_array_equal(opened.image(row, "gt"), pixels)


def test_floats_stay_floats(tmp_path: Path) -> None:
    """A fixed degradation that is not quantised: what lies beyond white is kept."""
    fixed = clean().model_copy(update={"degradation": PartRef(name="gaussian_noise", options={"sigma": 25.0})})
    opened = prepare_set(fixed, registry(), tmp_path)
    assert opened.image(0, "lq").dtype == np.float32
    assert max(opened.image(row, "lq").max() for row in range(6)) > 1


def test_the_same_set_is_the_same_bytes_whatever_comes_first(tmp_path: Path) -> None:
    sets = [prepared(), prepared("test"), clean()]
    first = [shas(prepare_set(each, registry(), tmp_path / "one")) for each in sets]
    second = [shas(prepare_set(each, registry(), tmp_path / "two")) for each in reversed(sets)]
    assert first == list(reversed(second))
    assert all(MANIFEST in files for files in first)


class Paired:
    """Pairs of several kinds: gray, 16 bit, dual pixel, two shots of one truth, a half without a truth."""

    traits = DatasetTraits(licence="l", pairs=True, skips=True)

    def splits(self) -> Sequence[str]:
        return ("train",)

    def fingerprint(self) -> str:
        return "paired"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(image.key, image.scene) for image in self.images(split)]

    def images(self, split: str) -> Iterator[SourceImage]:
        gray, deep = blobs(1)[..., :1], blobs(2).astype(np.uint16) * 257
        yield SourceImage("gray", "a", gray, gray // 2)
        yield SourceImage("deep", "b", deep, (deep / 65535).astype(np.float32))
        yield SourceImage("dual", "c", blobs(3), np.concatenate([blobs(4), blobs(5)], axis=2))
        yield SourceImage("s1", "d", blobs(6), blobs(7), truth="T")
        yield SourceImage("s2", "d", blobs(6), blobs(8), truth="T")
        yield SourceImage("half", "e", None, blobs(9))
        yield SourceImage("other half", "f", blobs(10))

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        return [("lost.png", "it has no partner")]


def test_pairs_of_every_kind_come_back_as_they_were(tmp_path: Path, bring: Bring) -> None:
    opened = prepare_set(stored(Paired()), bring(Paired()), tmp_path)
    for row, image in enumerate(Paired().images("train")):
        for side, pixels in (("gt", image.pixels), ("lq", image.degraded)):
            assert opened.index.has(side)[row] == (pixels is not None)  # type: ignore[arg-type]
            if pixels is not None:
                found = opened.image(row, side)  # type: ignore[arg-type]
                assert found.dtype == pixels.dtype
                np.testing.assert_array_equal(found, pixels)
    assert opened.index[3].gt == opened.index[4].gt, "a truth that is shared is stored once"
    assert (opened.manifest.samples, opened.manifest.images) == (7, 11)
    assert opened.manifest.skipped == (Skipped(file="lost.png", why="it has no partner"),)
    prints = known_prints(stored(Paired()).dataset, "train", tmp_path)
    assert prints is not None
    assert prints.keys == tuple(opened.index.keys)
    half = cv2.cvtColor(blobs(9), cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(prints.gray_Nss[5], cv2.resize(half, (32, 32), interpolation=cv2.INTER_AREA))


def test_a_fixed_degradation_needs_clean_images(tmp_path: Path, bring: Bring) -> None:
    by = PartRef(name="low_light")
    with pytest.raises(DataError, match="'half' has no clean image"):
        prepare_set(stored(Paired(), by=by), bring(Paired()), tmp_path)


def test_degraded_images_are_made_anew_when_their_clean_images_were(tmp_path: Path, bring: Bring) -> None:
    """A record of the degraded set then names another digest, as its manifest names the clean one's."""
    before = prepare_set(prepared(), registry(), tmp_path)
    shutil.rmtree(clean().folder(tmp_path))

    class Other(Small):
        def images(self, split: str) -> Iterator[SourceImage]:
            for image in super().images(split):
                yield SourceImage(image.key, image.scene, 255 - image.pixels)  # type: ignore[operator]

    after = prepare_set(prepared(), bring(Other()), tmp_path)
    assert after.manifest_sha256 != before.manifest_sha256
    np.testing.assert_array_equal(after.image(0, "gt"), 255 - blobs(0))
    assert after.image(0, "lq").mean() != before.image(0, "lq").mean()


def test_an_existing_set_is_opened_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_set(prepared(), registry(), tmp_path)
    monkeypatch.setattr(prepare, "_write", None)
    assert prepare_set(prepared(), registry(), tmp_path).manifest_sha256 == first.manifest_sha256


def test_a_pair_of_different_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"Shrink gives 68×90×3 for image 'a\.1', which is 70×90×3") as caught:
        prepare_set(prepared(task="shrunk"), registry(), tmp_path)
    assert caught.value.kind == "plugin"
    assert not list(tmp_path.glob("sets/small.shrink*/*")), "nothing is left behind"


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (prepared("validation"), "no split 'validation'"),
        (prepared(empty=True), "has no images"),
        (prepared().model_copy(update={"dataset": PartRef(name="small", digest="0123")}), "changed since"),
    ],
)
def test_what_cannot_be_prepared_says_why(samples: PreparedSet, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        prepare_set(samples, registry(), tmp_path)


class Changed(Small):
    """Images of the set `small`, changed on the way."""

    def __init__(self, images: object = None, keys: object = None) -> None:
        super().__init__()
        self.change, self.listed = images, keys

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return self.listed(super().keys(split)) if self.listed else super().keys(split)  # type: ignore[operator]

    def images(self, split: str) -> Iterator[SourceImage]:
        images = list(super().images(split))
        yield from self.change(images) if self.change else images  # type: ignore[operator]


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Changed(lambda images: [SourceImage("a.1", "s", blobs(0)[..., 0])]), r"'a\.1': the image has no axis of chan"),
        (Changed(lambda images: images[::-1]), r"images\(\) gives 'f' in the place of 'a\.1'"),
        (Changed(lambda images: images[:-1]), r"does not give 'f', which keys\(\) lists"),
        (Changed(lambda images: [*images, images[0]]), r"two images have the key 'a\.1'"),
        (Changed(keys=lambda keys: [("\udce4", "s"), *keys]), r"the key '\\udce4' is not valid Unicode"),
        (Changed(keys=lambda keys: [([], "s"), *keys]), r"the key of an image is \[\]: a text that is not empty"),
        (Changed(keys=lambda keys: [*keys, keys[0]]), r"keys\(\) lists 'a\.1' twice"),
        (
            Changed(lambda images: [*images, SourceImage("g", "g", blobs(9))]),
            r"'g', which keys\(\) does not list",
        ),
        (Changed(lambda images: [SourceImage("a.1", "s", blobs(0), blobs(1))]), "declares no pairs"),
    ],
)
def test_images_that_are_not_those_of_keys_are_refused_and_nothing_is_left(
    dataset: Small, words: str, tmp_path: Path, bring: Bring
) -> None:
    with pytest.raises(DataError, match=words):
        prepare_set(clean(), bring(dataset), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".")]


def test_keys_that_differ_in_case_only_and_those_of_other_scripts_are_kept_apart(tmp_path: Path, bring: Bring) -> None:
    names = ["a/B", "A/b", "a_B", "A_b", "ß", "SS", "é", "e\u0301", "日本", "." * 3, "..", "x" * 400]

    class Named(Small):
        def keys(self, split: str) -> Sequence[tuple[str, str]]:
            return [(name, name) for name in names]

    opened = prepare_set(stored(Named()), bring(Named()), tmp_path)
    assert opened.index.keys == names
    for row in range(len(names)):
        np.testing.assert_array_equal(opened.image(row, "gt"), blobs(row))


class Noisy:
    """A degradation that does not keep to the generator it is given: it gives one array again, or begins later."""

    traits = DegradationTraits(quantised=False)

    def __init__(self, sound: int, *, own: bool) -> None:
        self.sound, self.own, self.array = sound, own, np.zeros((70, 90, 3), np.float32)

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        self.sound -= 1
        wrong = np.random.default_rng().normal(0, 0.1, clean.shape).astype(np.float32) if self.sound < 0 else 0.0
        if not self.own:
            return clean + wrong
        self.array[...] = clean + wrong
        return self.array


@pytest.mark.parametrize(("sound", "own"), [(0, True), (0, False), (2, False), (2, True)])
def test_a_degradation_that_draws_its_own_numbers_is_refused(
    sound: int, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "made", lambda *given, **options: Noisy(sound, own=own))
    with pytest.raises(HarnessError, match="another result for the same image"):
        prepare_set(prepared(), registry(), tmp_path)


def test_degraded_images_are_copies() -> None:
    degradation = Noisy(99, own=True)
    first = degrade(blobs(0), "a", degradation, PartRef(name="noisy"), prepared())
    kept = first.copy()
    degrade(blobs(1), "b", degradation, PartRef(name="noisy"), prepared())
    np.testing.assert_array_equal(first, kept)


def test_folders_of_killed_processes_are_swept_only_when_old(tmp_path: Path) -> None:
    folder = prepared().folder(tmp_path)
    old, young = folder.parent / ".train.aaaaaaaa.tmp", folder.parent / ".train.bbbbbbbb.tmp"
    for left in (old, young):
        left.mkdir(parents=True)
    os.utime(old, (0, 0))
    prepare_set(prepared(), registry(), tmp_path)
    assert not old.exists()
    assert young.exists()
    assert open_set(prepared(), tmp_path).manifest.images == 6


def test_a_test_set_that_leaks_is_told_at_once_the_next_time(tmp_path: Path, bring: Bring) -> None:
    """From the prints of the first time; and nothing of it is left."""

    class Unread(Small):
        def images(self, split: str) -> Iterator[SourceImage]:
            pytest.fail("its images are read")

    leaking = prepared("test", leak="exact")
    for dataset in (Small(leak="exact"), Unread(leak="exact")):
        with pytest.raises(DataError, match="are identical pixels"):
            prepare_set(leaking, bring(dataset), tmp_path)
        assert not list(tmp_path.rglob("*.tar"))
