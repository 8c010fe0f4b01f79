"""Data sets of the field: in every layout the files with the real names are found, paired, split and grouped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.api.source import Source
from harness.api.task import PROTOCOLS
from harness.core.errors import DataError
from harness.parts.catalogue import BUILT_IN
from harness.parts.shared.pictures import looks
from tests.unit.parts.datasets.field_tree import data_set, grow, layout_of, levels, picture, source_of

RAIN = {"rain100h": "Rain100H", "rain100l": "Rain100L", "test100": "Test100", "test1200": "Test1200"}
NAMES = (
    *RAIN, "rain13k", "test2800", "dpdd", "dpdd_dual", "sidd", "div2k", "flickr2k", "wed", "bsd400", "dfwb", "set12",
    "bsd68", "cbsd68", "kodak24", "mcmaster", "urban100", "urban100_gray",
)  # fmt: skip

SHOT = "0001_001_S6_00100_00060_3200_L"
OTHER = "0200_010_GP_01600_03200_5500_N"
SIDD_TRAIN = {
    f"{SHOT}/0001_NOISY_SRGB_010": SHOT,
    f"{SHOT}/0001_NOISY_SRGB_011": SHOT,
    f"{OTHER}/0200_NOISY_SRGB_010": OTHER,
}
SIDD_TEST = {f"{scene:04d}-{block:02d}": f"test/{scene:04d}" for scene in (0, 1) for block in (0, 1, 2)}
SIDD_ALONE = {key: scene.removeprefix("test/") for key, scene in SIDD_TEST.items()}
SHOTS = {
    "train": ("1P0A0984", "1P0A1063"),
    "val": ("1P0A1112", "1P0A1434"),
    "test": ("1P0A0917", "1P0A1589", "1P0A2003"),
}
CLEAN = {
    "train": ("1P0A0983", "1P0A1062"),
    "val": ("1P0A1111", "1P0A1433"),
    "test": ("1P0A0916", "1P0A1588", "1P0A2002"),
}
"""Names of blurred files of DPDD, and of the clean ones that the authors' archive has of them."""


def _same(*keys: str, prefix: str = "") -> dict[str, str]:
    """Samples each of which is a scene."""
    return {key: prefix + key for key in keys}


def _splits(shots: dict[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    return {split: _same(*keys, prefix="" if split == "train" else f"{split}/") for split, keys in shots.items()}


def _rain(name: str) -> dict[tuple[str, str], dict[str, dict[str, str]]]:
    archive = {f"rain/X2/norain-{number}x2": f"norain-{number}" for number in (1, 2, 10)}
    older = {f"rain-{number}": f"norain-{number}" for number in ("001", "002", "010")}
    return {
        (name, "restormer"): {"test": _same("1", "2", "10", "100")},
        (name, "prenet"): {"test": older},
        (name, "airnet"): {"test": {key: scene for key, scene in older.items() if key != "rain-010"}},
        (name, "official"): {"test": archive},
    }


EXPECTED: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("rain13k", "restormer"): {"train": _same("1", "2", "10")},
    **_rain("rain100h"),
    **_rain("rain100l"),
    ("test100", "restormer"): {"test": _same("1", "2", "10", "98")},
    ("test1200", "restormer"): {"test": _same("1", "2", "600", "1200")},
    ("test2800", "restormer"): {"test": {"801_1": "801", "801_14": "801", "1000_2": "1000"}},
    ("test2800", "official"): {"test": {"901_1": "901", "901_14": "901", "902_1": "902"}},
    **{(name, "official"): _splits(CLEAN) for name in ("dpdd", "dpdd_dual")},
    **{(name, layout): _splits(SHOTS) for name in ("dpdd", "dpdd_dual") for layout in ("restormer", "prepared")},
    **{(name, "mmagic"): {"test": _same(*SHOTS["test"])} for name in ("dpdd", "dpdd_dual")},
    **{("sidd", layout): {"train": SIDD_TRAIN, "test": SIDD_TEST} for layout in ("official", "data", "mprnet")},
    ("sidd", "training"): {"train": SIDD_TRAIN},
    ("sidd", "validation"): {"test": SIDD_ALONE},
    ("sidd", "mmagic"): {"test": {f"val_{number}_NOISY": f"val_{number}_GT" for number in (0, 2, 1279)}},
    ("div2k", "official"): {"train": _same("0001", "0002", "0800"), "val": _same("0801", "0900", prefix="val/")},
    ("div2k", "mmagic"): {"train": _same("0001", "0002", "0800")},
    ("div2k", "restormer"): {"train": _same("0001", "0002", "0800")},
    **{("flickr2k", layout): {"train": _same("000001", "000002", "002650")} for layout in ("official", "restormer")},
    **{("wed", layout): {"train": _same("00001", "00002", "04744")} for layout in ("official", "restormer")},
    ("bsd400", "official"): {
        "train": _same(
            "BSDS500/data/images/test/100099", "BSDS500/data/images/train/12074", "BSDS500/data/images/train/2092"
        ),
        "val": _same("101085", "3096", prefix="val/"),
    },
    ("bsd400", "restormer"): {"train": _same("100099", "12074", "2092")},
    ("dfwb", "restormer"): {
        "train": _same(
            "BSD400/100099", "BSD400/2092", "DIV2K/0001", "DIV2K/0800", "Flickr2K/000001", "WaterlooED/00001"
        )
    },
    ("dfwb", "official"): {
        "train": _same(
            "BSR/BSDS500/data/images/test/100099",
            "BSR/BSDS500/data/images/train/2092",
            "DIV2K_train_HR/0001",
            "Flickr2K/Flickr2K_HR/000001",
            "exploration_database_and_code/pristine_images/00001",
        )
    },
    ("set12", "restormer"): {"test": _same("01", "02", "12")},
    ("bsd68", "restormer"): {"test": _same("test001", "test005", "test068")},
    ("cbsd68", "restormer"): {"test": _same("101085", "12084", "3096")},
    ("cbsd68", "cbsd68_dataset"): {"test": _same("0000", "0001", "0067")},
    **{("kodak24", layout): {"test": _same("kodim01", "kodim02", "kodim24")} for layout in ("restormer", "ffdnet")},
    ("mcmaster", "restormer"): {"test": _same("1", "2", "18")},
    **{(name, "restormer"): {"test": _same("img_001", "img_002", "img_100")} for name in ("urban100", "urban100_gray")},
    **{
        (name, "official"): {"test": _same(*(f"img_{number}_SRF_4_HR" for number in ("001", "002", "100")))}
        for name in ("urban100", "urban100_gray")
    },
}
"""Of every data set and layout the keys of each split, and their scenes, written by hand."""


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


def test_every_layout_has_its_names_written_by_hand() -> None:
    assert set(EXPECTED) == {(name, layout.name) for name in NAMES for layout in source_of(name).layouts}


@pytest.mark.parametrize(("name", "layout"), EXPECTED)
def test_the_files_of_a_layout_are_found_paired_and_split(name: str, layout: str, tmp_path: Path) -> None:
    grow(tmp_path, name, layout)
    found = data_set(name, tmp_path)
    assert found.layout_name == layout
    assert {split: dict(found.keys(split)) for split in found.splits()} == EXPECTED[name, layout]
    assert found.check_all() == []
    views = 2 if name == "dpdd_dual" else 1
    for split in found.splits():
        for lq, gt in levels(found, split).values():
            assert gt is not None
            scale = gt // 256 if views == 2 else gt
            values = tuple(level // 256 for level in lq) if views == 2 else lq
            assert values == (
                ()
                if not layout_of(name, layout).splits[split].lq
                else tuple(scale + 100 + view for view in range(views))
            )


@pytest.mark.parametrize(("name", "layout"), EXPECTED)
def test_users_may_point_at_the_folder_or_at_those_around_it(name: str, layout: str, tmp_path: Path) -> None:
    """The fingerprint is that of the files, wherever they lie."""
    files = grow(tmp_path / "one", name, layout)
    chosen = layout_of(name, layout)
    first = data_set(name, tmp_path / "one")
    known = first.fingerprint()
    base = next(base for base in (*chosen.inside, "") if all(
        path.startswith(f"{base}/" if base else "") for path in files if path != "EXAMPLE.json"
    ))  # fmt: skip
    for number, inside in enumerate(("", *chosen.inside)):
        root = tmp_path / f"as{number}"
        shutil.copytree(tmp_path / "one" / base, root / inside)
        (root / "EXAMPLE.json").write_text("{}")
        assert data_set(name, root).fingerprint() == known, inside


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_something_else_is_refused_with_what_is_looked_for(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "holiday" / "sea.jpg", 5)
    with pytest.raises(DataError, match="no file of any of its layouts is found") as caught:
        data_set(name, tmp_path).check_all()
    assert all(layout.name in str(caught.value) for layout in source_of(name).layouts)


@pytest.mark.parametrize("name", NAMES)
def test_half_an_archive_is_refused_where_the_number_is_sure(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    layout = source.layouts[0]
    grow(tmp_path, name, layout.name, marked=False)
    sure = [split for split in layout.splits if source.counts[split].sure]
    if sure:
        with pytest.raises(DataError, match="another number of images") as caught:
            data_set(name, tmp_path).check_all()
        assert all(f"{source.counts[split].images:,} are known" in str(caught.value) for split in sure)
    else:
        assert "see whether the archive is whole" in " ".join(data_set(name, tmp_path).check_all())


COUNTS = {
    "rain13k": {"train": 13712}, "rain100h": {"test": 100}, "rain100l": {"test": 100}, "test100": {"test": 100},
    "test1200": {"test": 1200}, "test2800": {"test": 2800}, "dpdd": {"train": 350, "val": 74, "test": 76},
    "dpdd_dual": {"train": 350, "val": 74, "test": 76}, "sidd": {"train": 320, "test": 40 * 32},
    "div2k": {"train": 800, "val": 100}, "flickr2k": {"train": 2650}, "wed": {"train": 4744},
    "bsd400": {"train": 400, "val": 100}, "dfwb": {"train": 800 + 2650 + 4744 + 400}, "set12": {"test": 12},
    "bsd68": {"test": 68}, "cbsd68": {"test": 68}, "kodak24": {"test": 24}, "mcmaster": {"test": 18},
    "urban100": {"test": 100}, "urban100_gray": {"test": 100},
}  # fmt: skip
PROTOCOL_OF = dict.fromkeys(NAMES, "noise_seed0") | {
    **dict.fromkeys((*RAIN, "rain13k", "test2800"), "y_matlab"),
    **dict.fromkeys(("set12", "bsd68", "urban100_gray"), "noise_seed0_gray"),
    **dict.fromkeys(("dpdd", "dpdd_dual"), "dpdd"),
    "sidd": "sidd",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_declared_is_what_the_field_says(name: str) -> None:
    source = source_of(name)
    assert {split: count.images for split, count in source.counts.items()} == COUNTS[name]
    unsure = {split for split, count in source.counts.items() if not count.sure}
    assert unsure == ({"test"} if name in (*RAIN, "test2800") else set())
    assert source.protocol == PROTOCOL_OF[name]
    assert source.protocol in PROTOCOLS
    assert source.average == ("derain5" if name in (*RAIN, "test2800") else "")
    known = {entry.name for entry in BUILT_IN if entry.kind == "dataset"}
    assert {shared.other for shared in source.shared} <= known
    assert source.traps
    _said_once(source)


def _said_once(source: Source) -> None:
    for trap in source.traps:
        assert trap.endswith("."), trap
        assert trap[0].isupper() or trap.startswith(("indoor_", "mmagic", "png ")), trap
