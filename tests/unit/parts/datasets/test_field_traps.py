"""What goes wrong with deraining, defocus and denoising sets of the field: each trap on a small copy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from harness.core.errors import DataError
from harness.parts.shared.declared.base import Declared
from harness.parts.shared.pictures import looks
from tests.unit.parts.datasets.field_tree import blocks, data_set, grow, levels, picture, source_of


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


def _example(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "EXAMPLE.json").write_text("{}")
    return root


def _refused(found: Declared) -> str:
    with pytest.raises(DataError) as caught:
        found.check_all()
    return str(caught.value)


# Rain


def test_names_pair_rain_where_the_order_of_mixed_endings_would_not(tmp_path: Path) -> None:
    """All jpg before all png, each by name, as the published scripts list them: input 10, 2, 1 and target 1, 2, 10."""
    root = _example(tmp_path) / "train" / "Rain13K"
    for name, level in (("input/10.jpg", 110), ("input/2.jpg", 102), ("input/1.png", 101)):
        picture(root / name, level)
    for name, level in (("target/1.jpg", 1), ("target/10.png", 10), ("target/2.png", 2)):
        picture(root / name, level)
    assert levels(data_set("rain13k", tmp_path), "train") == {"1": ((101,), 1), "10": ((110,), 10), "2": ((102,), 2)}


def test_one_number_as_png_and_as_jpg_is_reported(tmp_path: Path) -> None:
    root = _example(tmp_path) / "Rain100H"
    for name in ("input/1.png", "input/1.jpg", "target/1.png", "input/2.png", "target/2.png"):
        picture(root / name, 5)
    assert "Rain100H/input/1.png: as Rain100H/input/1.jpg" in _refused(data_set("rain100h", tmp_path))


def test_the_folder_of_one_rain_set_is_never_taken_for_another(tmp_path: Path) -> None:
    grow(tmp_path, "rain100l", "restormer")
    said = _refused(data_set("rain100h", tmp_path))
    assert "no file of any of its layouts is found" in said
    assert "what lies there: EXAMPLE.json, Rain100L" in said
    assert f"it lies in {tmp_path}: give this folder" in _refused(data_set("rain100l", tmp_path / "Rain100L"))


def test_pictures_of_streaks_beside_the_clean_ones_are_no_clean_images(tmp_path: Path) -> None:
    grow(tmp_path, "rain100h", "prenet")
    for name in ("rainregion-001.png", "rainstreak-001.png", "rain-001.png"):
        picture(tmp_path / "Rain100H" / name, 9)
    assert levels(data_set("rain100h", tmp_path), "test") == {
        "rain-001": ((101,), 1),
        "rain-002": ((102,), 2),
        "rain-010": ((103,), 3),
    }


def test_a_copy_of_test100_with_98_pairs_is_remarked_and_taken(tmp_path: Path) -> None:
    for number in range(1, 99):
        picture(tmp_path / f"Test100/input/{number}.png", 120)
        picture(tmp_path / f"Test100/target/{number}.png", 20)
    said = "test has 98 images, as another known copy; the usual one has 100"
    assert data_set("test100", tmp_path).check_all() == [said]


def test_the_rains_of_one_photograph_share_its_clean_image_and_scene(tmp_path: Path) -> None:
    grow(tmp_path, "test2800", "official")
    images = {image.key: image for image in data_set("test2800", tmp_path).images("test")}
    assert [(key, image.scene, image.truth) for key, image in images.items()] == [
        ("901_1", "901", "901"),
        ("901_14", "901", "901"),
        ("902_1", "902", None),
    ]


# Defocus


def test_dpdd_is_paired_by_the_order_of_names_that_have_nothing_in_common(tmp_path: Path) -> None:
    """1 and 2 lie between the numbers of two frames; the test images are read in 8 bits."""
    root = _example(tmp_path)
    for split in ("train", "val", "test"):
        for shot, clean, level in (
            ("1P0A0917", "1P0A0916", 4),
            ("1P0A1113", "1P0A1111", 5),
            ("1P0A1125", "1P0A1124", 6),
        ):
            picture(root / f"{split}_c/source/{shot}.png", level + 100, deep=True)
            picture(root / f"{split}_c/target/{clean}.png", level, deep=True)
    found = data_set("dpdd", root)
    for split in found.splits():
        assert list(levels(found, split).values()) == [((104,), 4), ((105,), 5), ((106,), 6)]
        assert {image.pixels.dtype for image in found.images(split) if image.pixels is not None} == {np.dtype(np.uint8)}


def test_a_file_that_is_missing_on_each_side_does_not_shift_the_pairs_of_dpdd(tmp_path: Path) -> None:
    for name in ("dpdd", "dpdd_dual"):
        root = tmp_path / name
        grow(root, name, "official")
        for view in ("c", "l", "r"):
            for file in root.glob(f"test_{view}/source/1P0A0917*.png"):
                file.unlink()
        (root / "test_c/target/1P0A2002.png").unlink()
        said = _refused(data_set(name, root))
        assert "its number is far from that of test_c/target/1P0A0916.png" in said


def test_another_number_of_files_on_one_side_of_dpdd_is_refused(tmp_path: Path) -> None:
    grow(tmp_path, "dpdd", "official")
    (tmp_path / "train_c/target/1P0A0983.png").unlink()
    assert "pairs are made by order, and there are 2 (.png) for 1 (.png)" in _refused(data_set("dpdd", tmp_path))


@pytest.mark.parametrize("layout", ["official", "restormer", "prepared", "mmagic"])
def test_two_views_are_six_channels_of_16_bits_the_left_one_first(layout: str, tmp_path: Path) -> None:
    grow(tmp_path, "dpdd_dual", layout)
    for image in data_set("dpdd_dual", tmp_path).images("test"):
        assert image.pixels is not None
        assert image.degraded is not None
        level = int(image.pixels[0, 0, 0])
        assert image.degraded.dtype == image.pixels.dtype == np.uint16
        assert level & 255 == 7  # the lower 8 bits are there
        assert image.degraded[0, 0].tolist() == [level + 100 * 256] * 3 + [level + 101 * 256] * 3


def test_a_left_view_without_its_right_one_is_refused(tmp_path: Path) -> None:
    grow(tmp_path, "dpdd_dual", "mmagic")
    (tmp_path / "inputR/1P0A1589.png").unlink()
    assert "there are 2 (.png) for 3 (.png)" in _refused(data_set("dpdd_dual", tmp_path))


@pytest.mark.parametrize("name", ["dpdd", "dpdd_dual"])
def test_labels_number_the_test_images_from_1(name: str, tmp_path: Path) -> None:
    grow(tmp_path, name, "mmagic")
    np.save(tmp_path / "indoor_labels.npy", np.array([1, 3]))
    np.save(tmp_path / "outdoor_labels.npy", np.array([2]))
    groups = {image.key: image.group for image in data_set(name, tmp_path).images("test")}
    assert groups == {"1P0A0917": "indoor", "1P0A1589": "outdoor", "1P0A2003": "indoor"}


@pytest.mark.parametrize(
    ("indoor", "outdoor", "said"),
    [
        ([0, 1], [2], "indoor_labels.npy: it names image 0, and the images are 1 to 3"),
        ([1], [2, 4], "outdoor_labels.npy: it names image 4, and the images are 1 to 3"),
        ([1, 2], [2, 3], "it is in indoor and in outdoor"),
        ([0.5], [2], "its numbers are float64, not whole ones"),
    ],
)
def test_labels_that_do_not_fit_are_refused(indoor: list[float], outdoor: list[int], said: str, tmp_path: Path) -> None:
    grow(tmp_path, "dpdd", "mmagic")
    np.save(tmp_path / "indoor_labels.npy", np.array(indoor))
    np.save(tmp_path / "outdoor_labels.npy", np.array(outdoor))
    assert said in _refused(data_set("dpdd", tmp_path))


def test_the_authors_archive_has_no_labels_and_is_taken_without_groups(tmp_path: Path) -> None:
    grow(tmp_path, "dpdd", "official")
    for file in tmp_path.glob("*door_labels.npy"):
        file.unlink()
    found = data_set("dpdd", tmp_path)
    assert [remark.partition(":")[0] for remark in found.check_all()] == ["indoor_labels.npy", "outdoor_labels.npy"]
    assert {image.group for image in found.images("test")} == {""}


def test_restormers_test_images_without_their_labels_are_refused(tmp_path: Path) -> None:
    grow(tmp_path, "dpdd", "mmagic")
    (tmp_path / "indoor_labels.npy").unlink()
    assert "indoor_labels.npy: there is no such file, which says the group indoor" in _refused(
        data_set("dpdd", tmp_path)
    )


# Cameras' noise


def test_noisy_and_clean_of_one_folder_are_told_by_the_word_in_their_names(tmp_path: Path) -> None:
    """Some copies have small letters in the ending; sorted, both clean images come before both noisy ones."""
    folder = _example(tmp_path) / "Data" / "0001_001_S6_00100_00060_3200_L"
    for number, level in (("010", 1), ("011", 2)):
        picture(folder / f"0001_NOISY_SRGB_{number}.png", level + 100)
        picture(folder / f"0001_GT_SRGB_{number}.png", level)
    place = "0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB"
    assert levels(data_set("sidd", tmp_path), "train") == {f"{place}_010": ((101,), 1), f"{place}_011": ((102,), 2)}


def test_validation_blocks_are_images_by_scene_and_block(tmp_path: Path) -> None:
    grow(tmp_path, "sidd", "validation")
    assert levels(data_set("sidd", tmp_path), "test") == {
        "0000-00": ((101,), 1), "0000-01": ((102,), 2), "0000-02": ((103,), 3),
        "0001-00": ((104,), 4), "0001-01": ((105,), 5), "0001-02": ((106,), 6),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((6, 4, 4, 3), np.uint8), "it has ValidationGtBlocksSrgb 6×4×4×3 uint8, not one array N×M×H×W×3"),
        (np.zeros((2, 3, 4, 4, 3)), "it has ValidationGtBlocksSrgb 2×3×4×4×3 double, not one array N×M×H×W×3 uint8"),
        (np.zeros((2, 3, 4, 4, 4), np.uint8), "2×3×4×4×4 uint8, not one array N×M×H×W×3"),
        (np.zeros((3, 2, 4, 4, 3), np.uint8), "ValidationGtBlocksSrgb.mat 3×2 images of 4×4"),
    ],
)
def test_a_file_of_blocks_of_another_form_is_refused(array: np.ndarray, said: str, tmp_path: Path) -> None:
    grow(tmp_path, "sidd", "validation")
    savemat(tmp_path / "test/SIDD/ValidationGtBlocksSrgb.mat", {"ValidationGtBlocksSrgb": array})
    assert said in _refused(data_set("sidd", tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "it is a MATLAB 7.3 file"),
        (b"sign in" * 40, "it is no MATLAB file, or damaged"),
        (b"<html>sign in</html>" * 40, "it begins with <html>: a web page"),
    ],
)
def test_a_file_of_blocks_that_is_none_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    grow(tmp_path, "sidd", "validation")
    (tmp_path / "test/SIDD/ValidationNoisyBlocksSrgb.mat").write_bytes(content)
    assert said in _refused(data_set("sidd", tmp_path))


def test_half_a_file_of_blocks_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    grow(tmp_path, "sidd", "validation")
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), np.uint8)
    for side in ("Noisy", "Gt"):
        savemat(tmp_path / f"test/SIDD/Validation{side}BlocksSrgb.mat", {f"Validation{side}BlocksSrgb": noise})
    file = tmp_path / "test/SIDD/ValidationGtBlocksSrgb.mat"
    file.write_bytes(file.read_bytes()[:2000])
    assert "ValidationGtBlocksSrgb.mat" in _refused(data_set("sidd", tmp_path))


# Gaussian noise


def test_validation_images_in_the_training_folder_of_div2k_are_no_training_images(tmp_path: Path) -> None:
    root = _example(tmp_path) / "DIV2K"
    for name in ("DIV2K_train_HR/0001", "DIV2K_train_HR/0800", "DIV2K_train_HR/0801", "DIV2K_train_HR/0900"):
        picture(root / f"{name}.png", 5)
    picture(root / "DIV2K_train_LR_bicubic" / "X2" / "0001x2.png", 5)
    assert [key for key, _ in data_set("div2k", tmp_path).keys("train")] == ["0001", "0800"]


@pytest.mark.parametrize("name", ["bsd400", "dfwb"])
def test_images_of_cbsd68_are_left_out_of_training(name: str, tmp_path: Path) -> None:
    grow(tmp_path, name, "restormer")
    before = [key for key, _ in data_set(name, tmp_path).keys("train")]
    for stem in ("101085", "3096", "351093"):
        picture(tmp_path / f"Downloads/BSD400/{stem}.jpg", 77)
    picture(tmp_path / "Downloads/BSD400/103096.jpg", 77)  # only ends like one of them
    (tmp_path / "Downloads/BSD400/Thumbs.db").write_bytes(b"1")
    after = [key for key, _ in data_set(name, tmp_path).keys("train")]
    assert [key.rpartition("/")[2] for key in after if key not in before] == ["103096"]


def test_dfwb_leaves_the_validation_images_of_div2k_out(tmp_path: Path) -> None:
    for layout, folder in (("restormer", "Downloads/DIV2K"), ("official", "DIV2K_train_HR")):
        root = tmp_path / layout
        grow(root, "dfwb", layout)
        picture(root / folder / "0801.png", 9)
        picture(root / folder / "0900.png", 9)
        picture(root / folder / "0799.png", 9)
        keys = [key.rpartition("/")[2] for key, _ in data_set("dfwb", root).keys("train")]
        assert "0799" in keys
        assert not {"0801", "0900"} & set(keys)


@pytest.mark.parametrize(
    ("name", "layout", "stray"),
    [
        ("flickr2k", "official", "Flickr2K/Flickr2K_LR_bicubic/X2/000001x2.png"),
        ("wed", "official", "exploration_database_and_code/distorted_images/gblurConv/00001_1.bmp"),
        ("urban100", "official", "Urban100/image_SRF_4/img_001_SRF_4_LR.png"),
        ("cbsd68", "cbsd68_dataset", "CBSD68/noisy15/0000.png"),
        ("kodak24", "ffdnet", "RNI6/Building.png"),
    ],
)
def test_what_else_an_archive_holds_is_not_read(name: str, layout: str, stray: str, tmp_path: Path) -> None:
    grow(tmp_path, name, layout)
    before = data_set(name, tmp_path).fingerprint()
    picture(tmp_path / stray, 200)
    assert data_set(name, tmp_path).fingerprint() == before


def test_urban100_is_read_in_colour_and_in_gray_as_opencv_does(tmp_path: Path) -> None:
    grow(tmp_path, "urban100", "restormer")
    file = tmp_path / "Urban100/img_001.png"
    noise = np.random.default_rng(0).integers(0, 256, (32, 24, 3), np.uint8)
    cv2.imwrite(str(file), noise)
    colour = next(iter(data_set("urban100", tmp_path).images("test"))).pixels
    gray = next(iter(data_set("urban100_gray", tmp_path).images("test"))).pixels
    assert colour is not None
    assert gray is not None
    assert (colour == noise[:, :, ::-1]).all()
    assert gray.shape == (32, 24, 1)
    assert (gray[:, :, 0] == cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)).all()
    assert np.abs(gray[:, :, 0] - colour @ np.array([0.299, 0.587, 0.114])).max() < 1.5  # BT.601, full range


@pytest.mark.parametrize("name", ["set12", "bsd68"])
def test_gray_sets_are_one_channel_whether_their_files_are_gray_or_not(name: str, tmp_path: Path) -> None:
    grow(tmp_path, name, "restormer")
    file = next(tmp_path.rglob("*.png"))
    cv2.imwrite(str(file), np.full((10, 8), 99, np.uint8))
    found = data_set(name, tmp_path)
    assert found.check_all() == []
    assert {image.pixels.shape for image in found.images("test") if image.pixels is not None} == {(10, 8, 1)}


def test_known_overlaps_are_declared() -> None:
    shared = {
        name: {(each.split, each.other, each.other_split) for each in source_of(name).shared}
        for name in ("bsd400", "cbsd68", "bsd68", "rain100l", "dfwb")
    }
    assert {("val", "cbsd68", "test"), ("val", "bsd68", "test")} <= shared["bsd400"]
    assert ("test", "bsd400", "val") in shared["cbsd68"] & shared["bsd68"]
    assert ("test", "rain13k", "val") in shared["rain100l"]
    assert shared["dfwb"] == {("train", part, "train") for part in ("div2k", "flickr2k", "wed", "bsd400")}


def test_blocks_are_as_many_as_the_two_first_sides_say(tmp_path: Path) -> None:
    for side in ("Noisy", "Gt"):
        blocks(tmp_path / f"Validation{side}BlocksSrgb.mat", [[3] * 32] * 40, side=1)
    found = data_set("sidd", tmp_path)
    assert [text.partition(";")[0] for text in found.check_all()] == [
        "no training images are found, so it has no train"
    ]
    assert len(found.keys("test")) == 1280
    assert found.keys("test")[-1] == ("0039-31", "0039")
