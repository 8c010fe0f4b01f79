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
