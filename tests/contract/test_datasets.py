"""Every built-in data set keeps the contract."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.folder import Folder
from harness.parts.datasets.photos import Photos
from harness.parts.shared.declared.base import Declared
from harness.testing.dataset import DatasetContract


class TestPhotos(DatasetContract):
    def make(self) -> Any:
        return Photos()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class TestFolder(DatasetContract):
    """Pairs, of which two degraded pictures share a clean one, and one is left out."""

    options: ClassVar[dict[str, Any]] = {
        "pair": {"lq": r"^(\d+)_", "gt": r"(\d+)"},
        "skip": ("03.png",),
        "holdout": 0.3,
    }

    @cached_property
    def place(self) -> Any:
        return _pictures()

    def make(self) -> Any:
        return Folder(lq=f"{self.place.name}/lq", gt=f"{self.place.name}/gt/*.png", **self.options)

    def moved(self, folder: Path) -> Any:
        shutil.copytree(self.place.name, folder / "copy", copy_function=shutil.copy)
        return Folder(lq=str(folder / "copy/lq"), gt=str(folder / "copy/gt/*.png"), **self.options)


class TestCleanFolder(TestFolder):
    def make(self) -> Any:
        return Folder(gt=f"{self.place.name}/gt")

    def moved(self, folder: Path) -> Any:
        return None


class TestUnpairedFolders(TestFolder):
    def make(self) -> Any:
        return Folder(lq=f"{self.place.name}/lq", gt=f"{self.place.name}/gt", pair="none", holdout=0.3)

    def moved(self, folder: Path) -> Any:
        return None


def _pictures() -> Any:
    place = TemporaryDirectory()
    for side, names in {"gt": ["{:02}.png"], "lq": ["{:02}_a.png", "{:02}_b.png"]}.items():
        (Path(place.name) / side).mkdir()
        for number in range(6):
            for name in names:
                level = 10 * number + len(name) + (name[-5] == "b")
                cv2.imwrite(str(Path(place.name) / side / name.format(number)), np.full((9, 7, 3), level, np.uint8))
    return place


def test_every_data_set_is_here() -> None:
    """The declared ones are read by one converter, and each layout of theirs in tests/unit/parts/datasets."""
    found = {REGISTRY.load("dataset", name) for name in REGISTRY.names("dataset")}
    assert {each for each in found if not issubclass(each, Declared)} == {Folder, Photos}
    assert all(each.traits.source for each in found if issubclass(each, Declared))
