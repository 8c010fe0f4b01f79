"""The photographs: what they are, that they are checked, and that asking costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.parts.datasets import photos
from harness.parts.datasets.photos import PHOTOS, Photos


def test_splits_share_no_scene_and_hold_what_is_promised() -> None:
    train, test = Photos().keys("train"), Photos().keys("test")
    assert len(train) == 5
    assert {key for key, _ in test} == {"chelsea", "coffee", "flower"}
    assert not {scene for _, scene in train} & {scene for _, scene in test}
    assert {key for key, scene in train if scene == "motorcycle"} == {"motorcycle_left", "motorcycle_right"}


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_rgb_of_at_least_256_pixels(split: str) -> None:
    images = list(Photos().images(split))
    assert [(image.key, image.scene) for image in images] == list(Photos().keys(split))
    for image in images:
        assert image.pixels.dtype.name == "uint8"
        assert image.pixels.ndim == 3
        assert image.pixels.shape[2] == 3
        assert min(image.pixels.shape[:2]) >= 256
    if split == "test":
        coffee = images[1].pixels
        assert coffee.shape == (400, 600, 3)
        assert coffee[..., 0].mean() > coffee[..., 2].mean() + 40, "a red saucer: channels are RGB, not BGR"


def test_every_photo_has_a_licence_notice() -> None:
    for photo in PHOTOS:
        assert re.search(rf"\b{photo.key}\b", Photos.traits.licence), photo.key


def test_fingerprint_is_cheap_and_stable() -> None:
    code = (
        "import sys; from harness.parts.datasets.photos import Photos; print(Photos().fingerprint());"
        "print(*[name for name in ('torch', 'skimage', 'sklearn') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert out[0] == Photos().fingerprint()
    assert out[1] == ""


def test_a_changed_photo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coffee.png").write_bytes(b"another picture")
    monkeypatch.setattr(photos, "_locate", lambda photo: tmp_path / "coffee.png")
    with pytest.raises(DataError, match=r"coffee\.png: this photograph has changed") as caught:
        list(Photos().images("test"))
    assert "pip install" in caught.value.hint


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="not installed") as caught:
        Photos().fingerprint()
    assert caught.value.hint == "pip install scikit-image scikit-learn"


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match="no split 'validation'"):
        Photos().keys("validation")
