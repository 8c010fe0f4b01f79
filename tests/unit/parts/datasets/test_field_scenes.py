"""Low-light and deblurring sets of the field: in every layout the files are found, paired, split and grouped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.api.task import PROTOCOLS
from harness.parts.catalogue import BUILT_IN
from harness.parts.shared.pictures import looks
from tests.unit.parts.datasets.field_tree import data_set, layout_of, source_of
from tests.unit.parts.datasets.scene_pairs import EXPECTED, NAMES
from tests.unit.parts.datasets.scene_tree import example, pairs


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


def test_every_layout_is_written_by_hand() -> None:
    assert set(EXPECTED) == {(name, layout.name) for name in NAMES for layout in source_of(name).layouts}


@pytest.mark.parametrize(("name", "layout"), EXPECTED)
def test_the_files_of_a_layout_are_found_paired_and_split(name: str, layout: str, tmp_path: Path) -> None:
    levels = example(tmp_path, layout_of(name, layout))
    found = data_set(name, tmp_path)
    assert found.layout_name == layout
    assert {split: pairs(found, split, levels) for split in found.splits()} == EXPECTED[name, layout]
    assert found.check_all() == []


@pytest.mark.parametrize(("name", "layout"), EXPECTED)
def test_users_may_point_at_the_folder_or_at_the_one_around_it(name: str, layout: str, tmp_path: Path) -> None:
    chosen = layout_of(name, layout)
    example(tmp_path / "one", chosen)
    known = data_set(name, tmp_path / "one").fingerprint()
    for number, inside in enumerate(chosen.inside):
        root = tmp_path / f"around{number}"
        shutil.copytree(tmp_path / "one", root / inside)
        (root / "EXAMPLE.json").write_text("{}")
        assert data_set(name, root).fingerprint() == known, inside


@pytest.mark.parametrize("name", NAMES)
def test_training_and_test_share_no_scene(name: str, tmp_path: Path) -> None:
    for layout in source_of(name).layouts:
        example(tmp_path / layout.name, layout)
        found = data_set(name, tmp_path / layout.name)
        scenes = [{scene for _, scene in found.keys(split)} for split in found.splits()]
        assert sum(map(len, scenes)) == len(set().union(*scenes))


COUNTS: dict[str, dict[str, tuple[int | None, bool]]] = {
    "lol_v2_real": {"train": (689, True), "test": (100, True)},
    "lol_v2_syn": {"train": (900, False), "test": (100, False)},
    "sid": {"train": (2099, False), "test": (598, False)},
    "smid": {"train": (15763, False), "test": (49 * 30, False)},
    "sdsd_indoor": {"train": (None, False), "test": (None, False)},
    "sdsd_outdoor": {"train": (None, False), "test": (None, False)},
    "hide": {"train": (8422 - 2025, False), "test": (2025, False)},
    "realblur_j": {"train": (4738 - 980, False), "test": (980, True)},
    "realblur_r": {"train": (4738 - 980, False), "test": (980, True)},
    "ebdb": {},
    "jnb": {},
}
PROTOCOL_OF = {
    "lol_v2_real": "rgb_uint8", "lol_v2_syn": "rgb_uint8", "sid": "sid_resized", "smid": "rgb_uint8",
    "sdsd_indoor": "sid_resized", "sdsd_outdoor": "sid_resized", "hide": "rgb_uint8_ssim3d",
    "realblur_j": "realblur_aligned", "realblur_r": "realblur_aligned", "ebdb": "dpdd", "jnb": "dpdd",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_is_declared_is_what_the_field_says(name: str) -> None:
    source = source_of(name)
    assert {split: (count.images, count.sure) for split, count in source.counts.items()} == COUNTS[name]
    assert source.protocol == PROTOCOL_OF[name]
    assert source.protocol in PROTOCOLS
    known = {entry.name for entry in BUILT_IN if entry.kind == "dataset"}
    assert {shared.other for shared in source.shared} <= known
    assert all(trap.endswith(".") for trap in source.traps)
    smallest = {"train": 3, "test": 2}
    assert all(
        len(samples) >= smallest[split] for layout in source.layouts for split, samples in layout.examples.items()
    )
