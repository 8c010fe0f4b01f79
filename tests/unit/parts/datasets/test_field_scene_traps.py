"""Traps of low-light and deblurring sets of the field: scenes, frames, shared truths, and sets without truths."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import DataError
from harness.parts.shared.pictures import looks
from tests.unit.parts.datasets.field_tree import data_set, layout_of, source_of
from tests.unit.parts.datasets.scene_pairs import EXPECTED, LONG, LQ, SHORT, TRUE, J, R
from tests.unit.parts.datasets.scene_tree import SIZE, grow, pairs, plant, write


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


@pytest.mark.parametrize("name", ["sid", "smid", "sdsd_indoor", "sdsd_outdoor"])
def test_arrays_hold_blue_green_red(name: str, tmp_path: Path) -> None:
    found, _ = grow(tmp_path, name)
    for path in tmp_path.rglob("*.npy"):
        write(path, np.full((*SIZE, 3), (10, 20, 30), np.uint8))
    for split in found.splits():
        for image in found.images(split):
            assert image.pixels is not None
            assert image.degraded is not None
            assert image.pixels[0, 0].tolist() == image.degraded[0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize("name", ["sid", "smid", "sdsd_indoor"])
@pytest.mark.parametrize("shape", [(*SIZE, 1), (3, *SIZE)])
def test_arrays_of_other_shapes_are_refused(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    found, levels = grow(tmp_path, name)
    bad = sorted(path for path in levels.values() if "/000" in path or "10003_00_0.04s" in path)[0]
    write(tmp_path / bad, np.zeros(shape, np.uint8))
    with pytest.raises(DataError) as caught:
        found.check_all()
    assert Path(bad).name in str(caught.value)


def test_arrays_of_floats_are_refused(tmp_path: Path) -> None:
    found, _ = grow(tmp_path, "sid")
    write(tmp_path / LONG / "10003" / "10003_00_10s.npy", np.zeros((*SIZE, 3), np.float32))
    with pytest.raises(DataError, match="10003_00_10s"):
        found.check_all()


def test_the_truth_of_a_scene_of_sid_is_the_first_of_its_sorted_folder(tmp_path: Path) -> None:
    found, levels = grow(tmp_path, "sid", f"{LONG}/10003/10003_01_10s.npy", f"{LONG}/10003/10003_00_30s.npy")
    assert {truth for _, _, truth in pairs(found, "test", levels).values()} == {f"{LONG}/10003/10003_00_10s.npy"}
    assert [image.truth for image in found.images("test")] == ["10003/10003_00_10s"] * 2


def test_the_first_character_of_a_scene_of_sid_is_its_split(tmp_path: Path) -> None:
    """The 1 in the middle of a number says nothing, and the validation scenes are trained on."""
    more = [f"{side}/{scene}/{scene}_00_10s.npy" for scene in ("00011", "20115", "10228") for side in (SHORT, LONG)]
    found, _ = grow(tmp_path, "sid", *more)
    assert {scene for _, scene in found.keys("train")} == {"00001", "00011", "20115", "20188"}
    assert {scene for _, scene in found.keys("test")} == {"10003", "10228"}


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("sid", [f"{SHORT}/10003", f"{LONG}/10003"]),
        ("smid", [f"{side}/{scene}" for side in (LQ, TRUE) for scene in ("0007", "0196")]),
        (
            "sdsd_indoor",
            [
                f"indoor_static_np/{side}/{scene}"
                for side in ("input", "GT")
                for scene in ("pair1", "pair11_2", "pair21")
            ],
        ),
        ("realblur_j", [f"{J}/scene050", f"{J}/scene230"]),
    ],
)
def test_a_copy_without_test_scenes_is_refused(name: str, folders: list[str], tmp_path: Path) -> None:
    found, _ = grow(tmp_path, name)
    for folder in folders:
        shutil.rmtree(tmp_path / folder)
    with pytest.raises(DataError, match="test: of all images that are there, none is of this split"):
        found.check_all()


def test_a_side_that_both_splits_read_is_missed_once(tmp_path: Path) -> None:
    found, _ = grow(tmp_path, "sdsd_indoor")
    shutil.rmtree(tmp_path / "indoor_static_np" / "GT")
    with pytest.raises(DataError, match="1 place of the layout is empty") as caught:
        found.check_all()
    assert str(caught.value).count("indoor_static_np/GT/*/*") == 1


def test_half_and_raw_files_are_no_truths_of_smid(tmp_path: Path) -> None:
    """In sorted order they would be the first ones."""
    more = [
        f"{TRUE}/{scene}/{name}" for scene in ("0001", "0007") for name in ("0000.ARW.npy", "0000half.npy", "a.ARW")
    ]
    found, levels = grow(tmp_path, "smid", *more)
    assert {split: pairs(found, split, levels) for split in found.splits()} == EXPECTED["smid", "official"]
    assert found.check_all() == []
    assert any("a.ARW" in file for file, _ in found.skipped("train"))


def test_the_list_of_test_scenes_of_smid_may_lie_beside_them(tmp_path: Path) -> None:
    found, levels = grow(tmp_path, "smid", f"{TRUE}/text_list.txt", "test_list.txt")
    assert {split: pairs(found, split, levels) for split in found.splits()} == EXPECTED["smid", "official"]


def test_validation_scenes_of_smid_are_trained_on(tmp_path: Path) -> None:
    found, _ = grow(tmp_path, "smid", f"{LQ}/0004/0001.npy", f"{TRUE}/0004/0001.npy")
    assert "0004" in {scene for _, scene in found.keys("train")}


@pytest.mark.parametrize(
    ("name", "folder", "trained", "tested"),
    [
        ("smid", LQ, "0001", "0007"),
        ("sdsd_indoor", "indoor_static_np/input", "pair2", "pair1"),
        ("sdsd_outdoor", "outdoor_static_np/input", "MVI_0918", "MVI_0898"),
    ],
)
def test_the_first_thirty_frames_of_a_test_folder_are_tested(
    name: str, folder: str, trained: str, tested: str, tmp_path: Path
) -> None:
    more = [f"{folder}/{scene}/{frame:04d}.npy" for scene in (trained, tested) for frame in range(1, 41)]
    clean = [path.replace("/input/", "/GT/") for path in more if "/input/" in path]
    found, _ = grow(tmp_path, name, *more, *clean)
    assert [key for key, _ in found.keys("test") if key.startswith(f"{tested}/")] == [
        f"{tested}/{frame:04d}" for frame in range(1, 31)
    ]
    assert sum(key.startswith(f"{trained}/") for key, _ in found.keys("train")) == 40
    assert found.check_all() == []


@pytest.mark.parametrize(
    ("name", "root", "scenes"),
    [
        ("sdsd_indoor", "indoor_static_np", ("pair1", "pair4", "pair9", "pair11", "pair19", "pair21")),
        (
            "sdsd_outdoor",
            "outdoor_static_np",
            tuple(f"MVI_{number}" for number in (
                "0898", "0906", "0928", "0975", "0997", "1001", "1003", "1026", "1030", "1032"
            )),
        ),
    ],
)  # fmt: skip
def test_a_second_folder_of_a_test_scene_is_never_trained_on(
    name: str, root: str, scenes: tuple[str, ...], tmp_path: Path
) -> None:
    folders = [f"{scene}{end}" for scene in scenes for end in ("", "_2")]
    more = [f"{root}/{side}/{folder}/0001.npy" for folder in folders for side in ("input", "GT")]
    beside = {"sdsd_indoor": ["pair10", "pair110", "pair2_2"], "sdsd_outdoor": ["MVI_0899", "MVI_0899_2"]}[name]
    more += [f"{root}/{side}/{folder}/0001.npy" for folder in beside for side in ("input", "GT")]
    found, _ = grow(tmp_path, name, *more)
    used = {split: {key.split("/")[0] for key, _ in found.keys(split)} for split in ("train", "test")}
    assert used["test"] == set(folders)
    assert used["train"] == {*beside, "pair2" if name == "sdsd_indoor" else "MVI_0918"}
    assert {scene for _, scene in found.keys("test")} == set(scenes)


@pytest.mark.parametrize(("name", "train", "test"), [("sdsd_indoor", 62, 6), ("sdsd_outdoor", 116, 10)])
def test_half_an_archive_of_sdsd_is_remarked(name: str, train: int, test: int, tmp_path: Path) -> None:
    """The number of its frames is not known, that of its scenes is: a folder that ends in _2 is none of its own."""
    grow(tmp_path, name)
    (tmp_path / "EXAMPLE.json").unlink(missing_ok=True)
    half = data_set(name, tmp_path)
    scenes = {split: len({scene for _, scene in half.keys(split)}) for split in ("train", "test")}
    assert half.check_names() == [
        f"{split} has {scenes[split]} scenes, and {known} are known, by sources that are not sure; "
        "see whether the archive is whole"
        for split, known in (("train", train), ("test", test))
    ]


def test_a_missing_frame_of_sdsd_is_named_and_not_made_up_by_order(tmp_path: Path) -> None:
    found, _ = grow(tmp_path, "sdsd_indoor")
    (tmp_path / "indoor_static_np" / "GT" / "pair2" / "0002.npy").unlink()
    with pytest.raises(DataError, match=r"pair2/0002\.npy"):
        found.check_all()


def test_clean_images_of_hide_lie_in_one_folder_for_both_splits(tmp_path: Path) -> None:
    """Those of the other split are no orphans, and a degraded image without its own is one."""
    found, _ = grow(tmp_path, "hide")
    assert found.check_all() == []
    (tmp_path / "GT" / "109fromGOPR1096.MP4.png").unlink()
    with pytest.raises(DataError, match=r"109fromGOPR1096\.MP4\.png") as caught:
        data_set("hide", tmp_path).check_all()
    assert "1fromGOPR0950" not in str(caught.value)


def test_reference_pairs_of_test_scenes_of_realblur_are_not_tested(tmp_path: Path) -> None:
    found, _ = grow(tmp_path, "realblur_j", f"{J}/scene050/blur/blur_1.png", f"{J}/scene050/gt/gt_1.png")
    assert "scene050/blur_1" not in dict(found.keys("test"))
    assert "scene226/blur_1" in dict(found.keys("train"))


def test_a_folder_of_realblur_may_say_more_than_the_scene(tmp_path: Path) -> None:
    found, _ = grow(
        tmp_path, "realblur_j", f"{J}/scene244_reflect/blur/blur_2.png", f"{J}/scene244_reflect/gt/gt_2.png"
    )
    assert dict(found.keys("train"))["scene244_reflect/blur_2"] == "scene244"


def test_other_files_of_a_scene_of_realblur_are_not_read(tmp_path: Path) -> None:
    found, levels = grow(tmp_path, "realblur_r", f"{R}/scene050/gif/vis_2.png", f"{R}/scene226/avg_blur/avg_2.png")
    assert {split: pairs(found, split, levels) for split in found.splits()} == EXPECTED["realblur_r", "official"]


def test_pairs_of_realblur_are_made_by_number_and_never_by_order(tmp_path: Path) -> None:
    """blur_10 sorts before blur_2, and the clean ones here have the bare number."""
    paths = [f"input/scene050_blur_{number}.png" for number in (2, 3, 10)]
    levels = plant(tmp_path, [*paths, *(f"target/scene050_{number}.png" for number in (2, 3, 10))])
    (tmp_path / "EXAMPLE.json").write_text("{}")
    assert {lq: gt for _, lq, gt in pairs(data_set("realblur_j", tmp_path), "test", levels).values()} == {
        path: path.replace("input", "target").replace("_blur", "") for path in paths
    }


def test_the_two_sets_of_realblur_have_the_same_fifty_test_scenes() -> None:
    scenes = [layout_of(name, "official").splits["test"].scenes for name in ("realblur_j", "realblur_r")]
    assert scenes[0] == scenes[1]
    assert len(set(scenes[0])) == 50
    for name in ("realblur_j", "realblur_r"):
        assert layout_of(name, "official").splits["train"].not_scenes == scenes[0]


def test_smid_has_the_49_test_scenes_of_its_authors() -> None:
    assert len(set(layout_of("smid", "official").splits["test"].scenes)) == 49


def test_real_and_synthetic_images_of_lol_v2_may_lie_side_by_side(tmp_path: Path) -> None:
    for name in ("lol_v2_real", "lol_v2_syn"):
        plant(tmp_path, (
            path for samples in layout_of(name, "official").examples.values() for sample in samples for path in sample
        ))  # fmt: skip
    assert len(data_set("lol_v2_real", tmp_path).keys("train")) == 3
    assert {key[0] for key, _ in data_set("lol_v2_syn", tmp_path).keys("train")} == {"r"}


def test_overlaps_of_lol_are_declared_from_both_sides() -> None:
    mine = {(each.split, each.other, each.other_split) for each in source_of("lol_v2_real").shared}
    others = {(each.split, each.other, each.other_split) for each in source_of("lol_v1").shared}
    assert ("test", "lol_v1", "train") in mine
    assert ("train", "lol_v2_real", "test") in others


@pytest.mark.parametrize("name", ["ebdb", "jnb"])
def test_sets_without_truths_have_none(name: str, tmp_path: Path) -> None:
    found, _ = grow(tmp_path, name)
    assert list(found.splits()) == ["test"]
    assert all(image.pixels is None for image in found.images("test"))
