"""A test image among the training images is found, and unrelated pictures are not accused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.api.dataset import SourceImage
from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.data.audit import audit, audit_once, fingerprint, same_picture
from harness.data.prepare import prepare_set
from harness.parts.datasets.photos import Photos
from tests.small_set import Small, prepared, registry

REF = PartRef(name="photos", digest="x")


def test_photos_pass_and_the_nearest_pair_is_told() -> None:
    report = audit(Photos(), "test", REF)
    assert (report.train_images, report.test_images) == (5, 3)
    assert report.nearest is not None
    assert report.nearest.hamming > 20


@pytest.mark.parametrize(("leak", "words"), [("exact", "identical pixels"), ("near", "nearly the same")])
def test_a_leaked_image_is_named(leak: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"train image 'ünï' and test image 't2' are {words}"):
        prepare_set(prepared("test", tile=None, leak=leak), registry(), tmp_path)
    assert not list(tmp_path.glob("small*/test"))


def test_a_scene_in_both_splits_is_named() -> None:
    with pytest.raises(DataError, match="scene 'one' is in both train and test"):
        audit(Small(leak="scene"), "test", REF)


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
        assert same_picture(fingerprint(image), fingerprint(SourceImage("copy", "copy", copy))), name


def test_the_audit_is_done_once_for_a_fingerprint(tmp_path: Path) -> None:
    class Once(Small):
        def images(self, split: str):  # type: ignore[no-untyped-def]
            seen.append(split)
            return super().images(split)

    seen: list[str] = []
    ref = PartRef(name="small", digest="d")
    first = audit_once(Once(), "test", ref, tmp_path)
    assert sorted(seen) == ["test", "train"]
    assert audit_once(Once(), "test", ref, tmp_path) == first
    assert len(seen) == 2
    audit_once(Once(), "test", PartRef(name="small", digest="other"), tmp_path)
    assert len(seen) == 4
