"""Prepared sets: what is in them, and that the same set is the same bytes everywhere."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from harness.api.dataset import SourceImage
from harness.api.degradation import DegradationTraits
from harness.api.reference import PartRef
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.registry import Registry
from harness.data import prepare
from harness.data.prepare import cut, degrade, prepare_set
from harness.data.shards import MANIFEST, ShardSet, open_set, to_float
from harness.parts.degradations.low_light import LowLight
from tests.small_set import TEST, TRAIN, Small, blobs, prepared, registry


def shas(opened: ShardSet) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(opened.folder.iterdir())}


def test_train_tiles_cover_every_image_and_match_the_whole_one(tmp_path: Path) -> None:
    samples = prepared()
    opened = prepare_set(samples, registry(), tmp_path, shard_samples=16)
    assert opened.manifest.images == 6
    assert len(opened) == len(opened.rows) == 6 * 3 * 3
    assert [shard.samples for shard in opened.manifest.shards] == [16, 16, 16, 6]
    whole = {image.key: (degrade(image, LowLight(), samples), image.pixels) for image in Small().images("train")}
    facts = _facts(opened)
    for row, sample in zip(opened.rows, opened.samples(), strict=True):
        assert sample.key == row.key
        assert sample.image == row.image
        place = facts[sample.key]
        window = np.s_[place["top"] : place["top"] + 32, place["left"] : place["left"] + 32]
        np.testing.assert_array_equal(sample.lq, whole[sample.image][0][window])
        np.testing.assert_array_equal(sample.gt, whole[sample.image][1][window])
    assert {row.image for row in opened.rows} == set(TRAIN)


def _facts(opened: ShardSet) -> dict[str, dict[str, int]]:
    found = {}
    for url in opened.urls:
        with tarfile.open(url) as shard:
            for member in shard.getmembers():
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
                if member.name.endswith(".json"):
                    content = json.loads(shard.extractfile(member).read())  # type: ignore[union-attr]
                    found[content["key"]] = content
    return found


def test_noise_as_the_field_draws_it_is_the_same_for_every_image(tmp_path: Path) -> None:
    samples = prepared("test", "noisy", tile=None)
    named = prepare_set(samples, registry(), tmp_path)
    drawn = prepare_set(samples.model_copy(update={"draw": "seed0"}), registry(), tmp_path)
    assert drawn.folder != named.folder
    assert "draw" not in json.loads((named.folder / MANIFEST).read_text())["set"]
    assert json.loads((drawn.folder / MANIFEST).read_text())["set"]["draw"] == "seed0"
    noise = np.random.RandomState(0).normal(0, 25 / 255, (70, 90, 3))
    found = list(drawn.samples())
    assert len(found) == 2
    for sample in found:
        np.testing.assert_array_equal(sample.lq, (to_float(sample.gt) + noise).astype(np.float32))
    other = next(iter(named.samples()))
    np.testing.assert_array_equal(other.gt, found[0].gt)
    assert np.abs(other.lq - found[0].lq).max() > 0.1


def test_a_degradation_that_cannot_be_drawn_so_says_so(tmp_path: Path) -> None:
    samples = prepared("test", "dark", tile=None).model_copy(update={"draw": "seed0"})
    with pytest.raises(DataError, match="cannot be drawn as 'seed0'") as caught:
        prepare_set(samples, registry(), tmp_path)
    assert caught.value.where == "degradation low_light"


@pytest.mark.parametrize(("task", "lq"), [("dark", "uint8"), ("noisy", "float32")])
def test_test_images_stay_whole(task: str, lq: str, tmp_path: Path) -> None:
    opened = prepare_set(prepared("test", task, tile=None), registry(), tmp_path)
    found = list(opened.samples())
    assert [sample.key for sample in found] == list(TEST)
    for number, sample in enumerate(found):
        np.testing.assert_array_equal(sample.gt, blobs(100 + number))
        assert sample.lq.shape == sample.gt.shape
        assert sample.lq.dtype.name == lq
    assert opened.manifest.quantised == (lq == "uint8")
    if task == "noisy":
        assert to_float(found[0].lq).max() > 1, "noise is not clipped"


def test_the_same_set_is_the_same_bytes_whatever_comes_first(tmp_path: Path) -> None:
    sets = [prepared(), prepared("test", tile=None), prepared(task="noisy")]
    first = [shas(prepare_set(samples, registry(), tmp_path / "one")) for samples in sets]
    second = [shas(prepare_set(samples, registry(), tmp_path / "two")) for samples in reversed(sets)]
    assert first == list(reversed(second))
    assert all(MANIFEST in files for files in first)


def test_tile_geometry_does_not_change_the_degradation(tmp_path: Path) -> None:
    corners = []
    for tile in (32, 48):
        opened = prepare_set(prepared(tile=tile), registry(), tmp_path)
        corners.append(next(sample.lq for sample in opened.samples())[:32, :32])
    small, large = corners
    np.testing.assert_array_equal(small, large)


def test_splits_and_images_have_their_own_noise(tmp_path: Path) -> None:
    def noise(split: str) -> list[np.ndarray]:
        opened = prepare_set(prepared(split, "noisy"), registry(), tmp_path)
        return [sample.lq - to_float(sample.gt) for sample in opened.samples() if sample.key.endswith("y00000-x00000")]

    patterns = [*noise("train"), *noise("test")]
    assert len(patterns) == 8
    for number, one in enumerate(patterns):
        for other in patterns[:number]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def test_an_existing_set_is_opened_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_set(prepared(), registry(), tmp_path)
    monkeypatch.setattr(prepare, "_write", None)
    assert prepare_set(prepared(), registry(), tmp_path).manifest_sha256 == first.manifest_sha256


def test_a_pair_of_different_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"Shrink gives 68×90×3 for image 'a\.1', which is 70×90×3") as caught:
        prepare_set(prepared(task="shrunk"), registry(), tmp_path)
    assert caught.value.kind == "plugin"
    assert not list(tmp_path.glob("small*/*")), "nothing is left behind"


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (prepared("validation"), "no split 'validation'"),
        (prepared(tile=128), r"image 'a\.1': a side of 70 pixels is shorter than a tile of 128"),
        (prepared(task="paired"), "no degradation"),
        (prepared(empty=True), "has no images"),
        (prepared().model_copy(update={"dataset": PartRef(name="small", digest="0123")}), "changed since"),
    ],
)
def test_what_cannot_be_prepared_says_why(samples: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        prepare_set(samples, registry(), tmp_path)  # type: ignore[arg-type]


def test_a_tile_larger_than_an_image_names_both_settings_that_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare_set(prepared(tile=128), registry(), tmp_path)
    assert "a smaller patch" in caught.value.hint
    assert "a larger scale.least" in caught.value.hint


def test_a_gray_image_is_refused(tmp_path: Path) -> None:
    class Gray(Small):
        def images(self, split: str):  # type: ignore[no-untyped-def]
            yield SourceImage("g", "g", np.zeros((70, 90), np.uint8))

    class WithGray(Registry):
        def load(self, kind: str, name: str) -> object:
            return Gray if kind == "dataset" else super().load(kind, name)

    with pytest.raises(DataError, match=r"image 'g': the image is gray \(70×90 uint8\); H×W×3 uint8 RGB is needed"):
        prepare_set(prepared(), WithGray(registry().entries()), tmp_path)


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


def test_degraded_images_are_copies(tmp_path: Path) -> None:
    degradation, samples = Noisy(99, own=True), prepared()
    first = degrade(SourceImage("a", "a", blobs(0)), degradation, samples)
    kept = first.copy()
    degrade(SourceImage("b", "b", blobs(1)), degradation, samples)
    np.testing.assert_array_equal(first, kept)


def test_cut_of_a_whole_image_keeps_its_key() -> None:
    image = SourceImage("k", "k", blobs(0))
    (pair,) = cut(image, image.pixels, prepared(tile=None))
    assert pair.key == "k"
    assert pair.facts == {"height": 70, "width": 90}


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
