"""Data sets whose files look alike: the names of the folders say which one it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.parts.catalogue import BUILT_IN
from harness.parts.shared.pictures import looks
from tests.unit.parts.datasets.field_tree import data_set, grow, source_of


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


def refused(name: str, root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        data_set(name, root).check_all()
    return caught.value


def test_siblings_have_the_folders_that_they_declare() -> None:
    names = [entry.name for entry in BUILT_IN if entry.kind == "dataset" and entry.name not in ("folder", "photos")]
    family = {name: source_of(name) for name in names if source_of(name).siblings}
    assert family
    for name, source in family.items():
        assert source.folders
        for other, folders in source.siblings.items():
            assert family[other].folders == folders
            assert family[other].siblings[name] == source.folders


def test_the_archive_of_the_other_rain_is_neither_hinted_at_nor_taken(tmp_path: Path) -> None:
    grow(tmp_path, "rain100l", "official")
    assert "rain_data_test_Light" not in refused("rain100h", tmp_path).hint
    error = refused("rain100h", tmp_path / "rain_data_test_Light")
    assert "this is rain100l by the names of its folders, and not Rain100H" in error.what
    assert error.hint.startswith("bench data prepare rain100l --from ")
    assert data_set("rain100l", tmp_path / "rain_data_test_Light").check_all() == []


def test_a_folder_that_names_itself_is_taken_below_another_name(tmp_path: Path) -> None:
    grow(tmp_path / "rain100l", "rain100h", "official")
    assert data_set("rain100h", tmp_path / "rain100l").check_all() == []
    assert data_set("rain100h", tmp_path / "rain100l" / "rain_data_test_Heavy").check_all() == []


@pytest.mark.parametrize("layout", ["mprnet", "mmagic"])
def test_the_other_realblur_is_not_taken(layout: str, tmp_path: Path) -> None:
    grow(tmp_path / "RealBlur_R", "realblur_r", layout)
    assert "this is realblur_r" in refused("realblur_j", tmp_path / "RealBlur_R").what
    shutil.move(tmp_path / "RealBlur_R", tmp_path / "x")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    assert data_set("realblur_r", tmp_path / "link").splits() == ("test",)


@pytest.mark.parametrize("name", ["hide", "realblur_j", "realblur_r"])
@pytest.mark.parametrize("folder", ["gopro", "unnamed"])
def test_gopro_is_taken_for_no_other_set(name: str, folder: str, tmp_path: Path) -> None:
    grow(tmp_path / folder, "gopro", "restormer")
    error = refused(name, tmp_path / folder)
    assert "this is gopro" in error.what or "none is of this split: test/target/GOPR" in error.what


def test_the_tree_of_restormers_downloads_has_training_images(tmp_path: Path) -> None:
    grow(tmp_path, "gopro", "restormer_datasets")
    whole = data_set("gopro", tmp_path / "Datasets")
    assert (whole.layout_name, whole.splits()) == ("restormer_datasets", ("train", "test"))
    assert [len(whole.keys(split)) for split in whole.splits()] == [2, 2]
