"""A test image among the training images is found, and unrelated pictures are not accused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.api.dataset import SourceImage
from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.data.audit import audit, same_pictures, twins
from harness.data.orientation import orient
from harness.data.prepare import prepare_set
from harness.data.prints import keep_prints, known_prints, prints_of
from harness.data.shared_pictures import Printed, shared_pictures
from harness.parts.datasets.photos import Photos
from tests.small_set import Small, blobs, prepared, registry

REF = PartRef(name="photos", digest="x")


def how(one: SourceImage, other: SourceImage) -> str:
    """Why two images count as the same; empty when they do not."""
    return next((same.how for same in same_pictures(prints_of([one]), prints_of([other]))), "")


def test_photos_pass_and_the_nearest_pair_is_told(tmp_path: Path) -> None:
    report = audit(Photos(), "test", REF, tmp_path)
    assert (report.train_images, report.test_images) == (5, 3)
    assert report.nearest is not None
    assert report.nearest.hamming > 20


@pytest.mark.parametrize(("leak", "words"), [("exact", "identical pixels"), ("near", "nearly the same")])
def test_a_leaked_image_is_named(leak: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"train image 'ünï' and test image 't2' are {words}"):
        prepare_set(prepared("test", leak=leak), registry(), tmp_path)
    assert not list(tmp_path.rglob("*.tar"))


def test_a_scene_in_both_splits_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scene 'one' is in both train and test"):
        audit(Small(leak="scene"), "test", REF, tmp_path)


@pytest.mark.parametrize("image", list(Photos().images("test")), ids=lambda image: image.key)
def test_altered_copies_are_the_same_picture(image: SourceImage) -> None:
    pixels = image.pixels
    height, width = pixels.shape[:2]
    jpeg = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR)
    copies = {
        "jpeg": np.asarray(jpeg),
        "half size": cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA),
        "stretched": cv2.resize(pixels, (608, 400)),
        "darker": (pixels * 0.5).astype(np.uint8),
    }
    for name, copy in copies.items():
        assert how(image, SourceImage("copy", "copy", copy)), name


def test_images_are_read_once_for_a_fingerprint(tmp_path: Path) -> None:
    class Once(Small):
        def images(self, split: str):  # type: ignore[no-untyped-def]
            seen.append(split)
            return super().images(split)

    seen: list[str] = []
    ref = PartRef(name="small", digest="d")
    first = audit(Once(), "test", ref, tmp_path)
    assert sorted(seen) == ["test", "train"]
    assert audit(Once(), "test", ref, tmp_path) == first
    assert len(seen) == 2
    audit(Once(), "test", PartRef(name="small", digest="other"), tmp_path)
    assert len(seen) == 4


@pytest.mark.parametrize("image", list(Photos().images("test")), ids=lambda image: image.key)
def test_hard_copies_are_the_same_picture_too(image: SourceImage) -> None:
    """What the field does to copies: strong compression, clipping, gamma, noise, careless scaling, a cut margin."""
    pixels, random = image.pixels, np.random.default_rng(0)
    height, width = pixels.shape[:2]
    noisy = pixels + random.normal(0, 25, pixels.shape)
    copies = {
        "half as bright again": np.clip(pixels * 1.5, 0, 255),
        "gamma": 255 * (pixels / 255) ** 0.45,
        "noise": np.clip(noisy, 0, 255),
        "nearest third": cv2.resize(pixels, (width // 3, height // 3), interpolation=cv2.INTER_NEAREST),
        "margin": pixels[4:-4, 4:-4],
        "very dark": pixels * 0.2,
        "mirrored, very dark": pixels[:, ::-1] * 0.2,
    }
    for name, copy in copies.items():
        assert how(image, SourceImage("copy", "copy", np.ascontiguousarray(copy.astype(np.uint8)))), name


def test_windows_of_different_photographs_are_not_accused() -> None:
    """None of 3,600 pairs in eight orientations, of pictures that have skies, walls and lawns."""
    random = np.random.default_rng(0)
    windows = []
    for photo in (*Photos().images("train"), *Photos().images("test")):
        height, width = photo.pixels.shape[0] // 3, photo.pixels.shape[1] // 3
        for number in range(12):
            top, left = random.integers(2 * height), random.integers(2 * width)
            window = np.ascontiguousarray(photo.pixels[top : top + height, left : left + width])
            windows.append(SourceImage(f"{photo.key} {number}", photo.key, window))
    assert list(twins(prints_of(windows))) == []


def test_shared_pictures_are_counted_and_shown_by_pairs_of_splits() -> None:
    train = [picture(number, blobs(number)) for number in range(6)]
    test = [picture(10, blobs(1)), picture(11, (blobs(2)[:, ::-1] * 0.8).astype(np.uint8)), picture(12, blobs(12))]
    other = [picture(20, blobs(12)), picture(21, blobs(20)), picture(22, blobs(20).copy())]
    splits = [
        Printed(PartRef(name=name), split, prints_of(images))
        for name, split, images in (("one", "train", train), ("one", "test", test), ("two", "test", other))
    ]
    steps: list[None] = []
    found = list(shared_pictures(splits, lambda: steps.append(None)))
    assert [(each.one.called, each.other.called, each.exact, each.near) for each in found] == [
        ("one/train", "one/test", 1, 1), ("one/test", "two/test", 1, 0), ("two/test", "two/test", 1, 0)
    ]  # fmt: skip
    assert found[0].examples[0] == ("p1", "p10", "identical pixels")
    assert found[0].examples[1][:2] == ("p2", "p11")
    assert "mirrored" in found[0].examples[1][2]
    assert len(steps) == 3 + 2


def picture(number: int, pixels: np.ndarray, scene: str = "") -> SourceImage:
    return SourceImage(f"p{number}", scene or f"s{number}", pixels)


@pytest.mark.parametrize("orientation", range(1, 8))
def test_a_mirrored_or_turned_copy_is_the_same_picture(orientation: int) -> None:
    """An altered one, too, and the words say how it lies: numpy's own flips and turns are the reference."""
    for image in (blobs(5), *(image.pixels for image in Photos().images("test"))):
        turned = np.rot90(image[:, ::-1] if orientation % 2 else image, orientation // 2)
        smaller = cv2.resize(np.ascontiguousarray(turned), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        why = how(picture(1, image), picture(2, (smaller * 0.8).astype(np.uint8)))
        words = {1: "mirrored:", 2: "turned by 270°", 4: "turned by 180°", 5: "upside down"}
        assert why
        assert words.get(orientation, "turned by") in why


def test_the_hash_of_an_orientation_is_the_hash_of_the_oriented_image() -> None:
    for image in Photos().images("test"):
        bits = prints_of([image]).bits_NK[0]
        for orientation in range(8):
            alone = prints_of([picture(0, orient(image.pixels, orientation))]).bits_NK[0, 0]
            assert int(bits[orientation] ^ alone).bit_count() <= 1


def test_unrelated_photographs_are_not_accused_in_any_orientation() -> None:
    every = prints_of([*Photos().images("train"), *Photos().images("test")])
    assert list(twins(every)) == []
    assert list(same_pictures(prints_of(Photos().images("train")), prints_of(Photos().images("test")))) == []


def test_twins_of_a_split_are_told_and_shots_of_one_scene_are_not() -> None:
    prints = prints_of(
        [picture(0, blobs(50)), picture(1, blobs(51)), picture(2, blobs(50)), picture(3, blobs(51), scene="s1"),
         picture(4, blobs(51)[:, ::-1].copy())]
    )  # fmt: skip
    assert [(same.one, same.other) for same in twins(prints)] == [(0, 2), (1, 4)]


def test_kept_prints_are_those_of_the_images_and_damage_is_noticed(tmp_path: Path) -> None:
    ref = PartRef(name="../" + "x" * 300, digest="d")
    prints = prints_of(Photos().images("test"))
    keep_prints(prints, ref, "test", tmp_path)
    known = known_prints(ref, "test", tmp_path)
    assert known is not None
    assert (known.keys, known.scenes, known.exact) == (prints.keys, prints.scenes, prints.exact)
    np.testing.assert_array_equal(known.bits_NK, prints.bits_NK)
    np.testing.assert_array_equal(known.gray_Nss, prints.gray_Nss)
    (file,) = (tmp_path / "prints").iterdir()
    content = file.read_bytes()
    for place in range(0, len(content), 37):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        damaged = known_prints(ref, "test", tmp_path)
        assert damaged is None or np.array_equal(damaged.bits_NK, prints.bits_NK)
    assert known_prints(PartRef(name=ref.name, digest="other"), "test", tmp_path) is None
    keep_prints(prints, PartRef(name="without"), "test", tmp_path)
    assert len(list((tmp_path / "prints").iterdir())) == 1
