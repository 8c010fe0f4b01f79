"""Examples of data sets of the field: real names and formats, crops of the right photographs, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from harness.api.asking import opened
from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.core.errors import HarnessError, UnknownName
from harness.data.example import MARKER, write_example
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos


def source_of(name: str) -> Any:
    return declaration(REGISTRY, "dataset", name).traits.source


def field_layouts() -> list[tuple[str, str]]:
    return [
        (name, layout.name) for name in REGISTRY.names("dataset") if (it := source_of(name)) for layout in it.layouts
    ]


def example(name: str, folder: Path, layout: str | None = None) -> Path:
    return write_example(REGISTRY, name, folder / name, layout)


def splits_of_photographs(crop_RGB: np.ndarray) -> set[str]:
    """The splits of `photos` that have a crop, to the last bit."""
    found = set()
    for split in ("train", "test"):
        for image in Photos().images(split):
            assert image.pixels is not None
            best = cv2.minMaxLoc(cv2.matchTemplate(image.pixels, crop_RGB, cv2.TM_SQDIFF))
            left, top = best[2]
            height, width = crop_RGB.shape[:2]
            if np.array_equal(image.pixels[top : top + height, left : left + width], crop_RGB):
                found.add(split)
    return found


@pytest.mark.parametrize(("name", "layout"), field_layouts())
def test_the_data_set_reads_its_example_as_it_would_the_download(name: str, layout: str, tmp_path: Path) -> None:
    declared = next(each for each in source_of(name).layouts if each.name == layout)
    dataset = cast(Any, opened(REGISTRY, name, {"root": str(example(name, tmp_path, layout))}))
    assert dataset.check_all() == []
    assert dataset.layout_name == layout
    assert PartRef(name=name, digest=dataset.fingerprint()).is_example
    for split, files in declared.splits.items():
        images = list(dataset.images(split))
        assert len(images) == (4 if files.reader == "mat_blocks" else len(declared.examples[split]))
        assert all((image.pixels is not None) == bool(files.gt) for image in images)
        assert all((image.degraded is not None) == bool(files.lq) for image in images)
        shown = [image.pixels if image.pixels is not None else image.degraded for image in images]
        assert all(min(pixels.shape[:2]) >= 160 for pixels in shown)
        looks = {
            image.truth or image.key: hashlib.sha256(pixels.tobytes()).hexdigest()
            for image, pixels in zip(images, shown, strict=True)
        }
        assert len({*looks.values()}) == len(looks), "no two samples are one picture"
    scenes = {split: {scene for _, scene in dataset.keys(split)} for split in declared.splits}
    assert scenes.get("train", set()).isdisjoint(scenes.get("test", set()))


@pytest.mark.parametrize(("name", "held"), [("lol_v1", "test"), ("dpdd", "test"), ("dpdd", "val")])
def test_no_split_shows_a_photograph_of_another(name: str, held: str, tmp_path: Path) -> None:
    dataset = opened(REGISTRY, name, {"root": str(example(name, tmp_path))})
    crops = {split: [image.pixels for image in dataset.images(split)] for split in ("train", held)}
    assert all(splits_of_photographs(crop) == {"train"} for crop in crops["train"])
    assert all(splits_of_photographs(crop) == {"test"} for crop in crops[held])


def test_the_same_call_writes_the_same_files(tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    first, second = (content(write_example(REGISTRY, "lol_v1", tmp_path / name)) for name in ("one", "two"))
    assert first == second
    marker = json.loads(first[MARKER])
    assert (marker["dataset"], marker["layout"]) == ("lol_v1", "official")
    assert "CC0" in marker["licence"]


def test_arrays_hold_blue_first_and_their_long_exposure_belongs_to_all_short_ones(tmp_path: Path) -> None:
    folder = example("sid", tmp_path)
    long, *_ = sorted((folder / "long_sid2").rglob("*.npy"))
    stored = np.load(long)
    assert (stored.dtype, stored.shape[2]) == (np.uint8, 3)
    assert len(splits_of_photographs(np.ascontiguousarray(stored[..., ::-1]))) == 1


def test_blocks_of_a_matlab_file_are_scenes_by_images_by_pixels(tmp_path: Path) -> None:
    folder = example("sidd", tmp_path)
    for side in ("Noisy", "Gt"):
        [file] = folder.rglob(f"Validation{side}BlocksSrgb.mat")
        blocks = loadmat(file)[f"Validation{side}BlocksSrgb"]
        assert (blocks.dtype, blocks.shape) == (np.uint8, (2, 2, 256, 256, 3))
    assert all(splits_of_photographs(block) == {"test"} for block in blocks.reshape(-1, 256, 256, 3))


@pytest.mark.parametrize("name", ["dpdd", "dpdd_dual"])
def test_pictures_of_16_bits_have_them_and_lists_count_from_one(name: str, tmp_path: Path) -> None:
    folder = example(name, tmp_path)
    read = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in folder.rglob("*.png")]
    assert {pixels.dtype for pixels in read} == {np.dtype(np.uint16)}
    assert any((pixels % 257 != 0).any() for pixels in read), "not 8 bits stretched to 16"
    indoor, outdoor = (np.load(folder / f"{group}_labels.npy").tolist() for group in ("indoor", "outdoor"))
    count = len(opened(REGISTRY, name, {"root": str(folder)}).keys("test"))
    assert sorted([*indoor, *outdoor]) == list(range(1, count + 1))
    assert indoor
    assert outdoor


def test_the_views_of_a_dual_pixel_camera_differ(tmp_path: Path) -> None:
    dataset = opened(REGISTRY, "dpdd_dual", {"root": str(example("dpdd_dual", tmp_path))})
    image = next(iter(dataset.images("train")))
    assert image.degraded is not None
    moved = np.abs(image.degraded[:, 4:, :3].astype(int) - image.degraded[:, :-4, 3:]).mean()
    same = np.abs(image.degraded[..., :3].astype(int) - image.degraded[..., 3:]).mean()
    there = np.abs(image.degraded[:, :-4, :3].astype(int) - image.degraded[:, 4:, 3:]).mean()
    assert min(moved, there) < same / 4, "one is the other, moved by twice the parallax"


def test_a_folder_with_files_and_unknown_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(HarnessError, match="not empty"):
        write_example(REGISTRY, "lol_v1", tmp_path / "full")
    with pytest.raises(HarnessError, match="no folder"):
        write_example(REGISTRY, "lol_v1", tmp_path / "full/mine.txt")
    with pytest.raises(UnknownName, match="no layout 'offical'") as wrong:
        write_example(REGISTRY, "lol_v1", tmp_path / "new", "offical")
    assert "official" in wrong.value.hint
    with pytest.raises(UnknownName, match="no data set of the field"):
        write_example(REGISTRY, "photos", tmp_path / "new")
    assert [file.name for file in tmp_path.rglob("*")] == ["full", "mine.txt"]
    (tmp_path / "empty").mkdir()
    write_example(REGISTRY, "lol_v1", tmp_path / "empty")
    assert (tmp_path / "empty" / MARKER).is_file()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def full(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HarnessError, match="disk is full") as stopped:
        write_example(REGISTRY, "lol_v1", tmp_path / "new")
    assert stopped.value.kind == "storage"
    assert list(tmp_path.iterdir()) == []
