"""Folders of pictures: what is paired, refused in one report, or left out, and what a digest depends on."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from harness.api.asking import first_image
from harness.core.errors import DataError
from harness.parts.datasets.folder import Folder
from harness.parts.shared.pictures import looks
from harness.parts.shared.pictures.listing import File


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(looks, "_MEMORY", {})


def picture(level: int, height: int = 12, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def write(folder: Path, files: dict[str, np.ndarray | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes(cv2.imencode(path.suffix, content)[1].tobytes())
    return folder


def pairs(folder: Path, names: list[str], lq: str = "lq", gt: str = "gt") -> Path:
    write(folder, {f"{lq}/{name}": picture(10 + 2 * number) for number, name in enumerate(names)})
    return write(folder, {f"{gt}/{name}": picture(11 + 2 * number) for number, name in enumerate(names)})


def made(folder: Path, **options: Any) -> Folder:
    sides = ("gt", "lq", "test_gt", "test_lq")
    given: dict[str, Any] = {"gt": "gt", "lq": "lq"} | options
    given |= {side: str(folder / given[side]) for side in sides if given.get(side)}
    return Folder(**given)


def levels(dataset: Folder, split: str) -> dict[str, tuple[int | None, int | None]]:
    """Key → the first number of the degraded and of the clean picture."""
    first = {image.key: (image.degraded, image.pixels) for image in dataset.images(split)}
    return {key: tuple(None if each is None else int(each[0, 0, 0]) for each in two) for key, two in first.items()}  # type: ignore[misc]


def test_pairs_are_found_by_name_and_never_by_order(tmp_path: Path) -> None:
    write(tmp_path, {"lq/b.png": picture(1), "lq/c.bmp": picture(2), "lq/a.png": picture(3)})
    write(tmp_path, {"gt/c.png": picture(12), "gt/a.png": picture(13), "gt/b.png": picture(11)})
    dataset = made(tmp_path, holdout=0.0)
    assert dataset.splits() == ("train",)
    assert levels(dataset, "train") == {"a": (3, 13), "b": (1, 11), "c": (2, 12)}
    assert dataset.keys("train") == [("a", "a"), ("b", "b"), ("c", "c")]


def test_pairs_by_whole_name_need_the_same_ending(tmp_path: Path) -> None:
    write(tmp_path, {"lq/a.png": picture(1), "lq/b.bmp": picture(2), "gt/a.png": picture(3), "gt/b.png": picture(4)})
    assert len(made(tmp_path, holdout=0.0).keys("train")) == 2
    with pytest.raises(DataError, match=r"2 have no partner(.|\n)*lq/b\.bmp: no gt file(.|\n)*gt/b\.png: no lq file"):
        made(tmp_path, pair="name").fingerprint()


def test_expressions_pair_what_is_called_otherwise(tmp_path: Path) -> None:
    write(tmp_path, {"lq/low00690.png": picture(1), "lq/low00691.png": picture(2)})
    write(tmp_path, {"gt/normal00691.png": picture(12), "gt/normal00690.png": picture(11)})
    dataset = made(tmp_path, pair={"lq": r"low(\d+)", "gt": r"normal(\d+)"}, holdout=0.0)
    assert levels(dataset, "train") == {"low00690": (1, 11), "low00691": (2, 12)}
    assert [image.truth for image in dataset.images("train")] == [None, None]


def test_several_degraded_pictures_share_one_clean_one_and_its_scene(tmp_path: Path) -> None:
    write(tmp_path, {f"lq/00001_0{take}_0.1s.png": picture(take) for take in range(3)})
    write(tmp_path, {"gt/00001_00_10s.png": picture(50), "gt/00002_00_10s.png": picture(60)})
    write(tmp_path, {"lq/00002_00_0.1s.png": picture(9)})
    dataset = made(tmp_path, pair={"lq": r"^(\d{5})_", "gt": r"^(\d{5})_"}, holdout=0.0)
    images = {image.key: image for image in dataset.images("train")}
    assert len(images) == 4
    assert {images[f"00001_0{take}_0.1s"].truth for take in range(3)} == {"00001_00_10s"}
    assert images["00002_00_0.1s"].truth is None
    assert {image.scene for image in images.values()} == {"00001_00_10s", "00002_00_10s"}


def test_patterns_name_a_file_by_what_their_wildcards_matched(tmp_path: Path) -> None:
    names = {"GOPR1/{}/000001.png": 1, "GOPR1/{}/000002.png": 2, "GOPR2/{}/000001.png": 3}
    write(tmp_path, {name.format("blur"): picture(level) for name, level in names.items()})
    write(tmp_path, {name.format("sharp"): picture(10 + level) for name, level in names.items()})
    dataset = made(tmp_path, lq="*/blur/*.png", gt="*/sharp/*.png", scene=r"^([^/]+)/", holdout=0.5)
    both = levels(dataset, "train") | levels(dataset, "test")
    assert both == {"GOPR1/000001": (1, 11), "GOPR1/000002": (2, 12), "GOPR2/000001": (3, 13)}
    scenes = {split: {scene for _, scene in dataset.keys(split)} for split in ("train", "test")}
    assert scenes["train"] | scenes["test"] == {"GOPR1", "GOPR2"}
    assert not scenes["train"] & scenes["test"]
    deep = made(tmp_path, lq=None, gt="**/sharp/*.png", holdout=0.0)
    assert [key for key, _ in deep.keys("train")] == ["GOPR1/000001", "GOPR1/000002", "GOPR2/000001"]
    fixed = tmp_path / "sidd"
    for number in (1, 2):
        write(fixed, {f"{number}/in.png": picture(number), f"{number}/truth.png": picture(10 + number)})
    assert levels(made(fixed, lq="*/in.png", gt="*/truth.png", holdout=0.0), "train") == {"1": (1, 11), "2": (2, 12)}


def test_clean_pictures_alone_and_unpaired_halves(tmp_path: Path) -> None:
    write(tmp_path, {"gt/a.png": picture(1), "gt/b.png": picture(2), "lq/a.png": picture(7), "lq/z.png": picture(8)})
    clean = made(tmp_path, lq=None, holdout=0.0)
    assert levels(clean, "train") == {"a": (None, 1), "b": (None, 2)}
    halves = made(tmp_path, pair="none", holdout=0.0)
    assert levels(halves, "train") == {"gt/a": (None, 1), "gt/b": (None, 2), "lq/a": (7, None), "lq/z": (8, None)}
    assert Folder.traits.pairs_with({"lq": "somewhere"})
    assert not Folder.traits.pairs_with({"lq": None})


def test_the_test_split_has_folders_of_its_own(tmp_path: Path) -> None:
    pairs(tmp_path, ["1.png", "2.png"], "our485/low", "our485/high")
    pairs(tmp_path, ["1.png"], "eval15/low", "eval15/high")
    dataset = made(tmp_path, lq="our485/low", gt="our485/high", test_lq="eval15/low", test_gt="eval15/high")
    assert dataset.splits() == ("train", "test")
    assert dataset.keys("train") == [("1", "1"), ("2", "2")]
    assert dataset.keys("test") == [("1", "test/1")], "the same name elsewhere is another scene"
    with pytest.raises(ValueError, match="test_lq where lq is"):
        made(tmp_path, lq="our485/low", gt="our485/high", test_gt="eval15/high")


def test_what_is_held_out_follows_from_the_names_alone(tmp_path: Path) -> None:
    """Golden: the three of twenty with the smallest hashes. They stay the same on every machine, for ever."""
    write(tmp_path, {f"gt/{number:02}.png": picture(number) for number in range(20)})
    dataset = made(tmp_path, lq=None, holdout=0.15)
    assert [key for key, _ in dataset.keys("test")] == ["06", "10", "14"]
    names = [f"{number:02}" for number in range(20)]
    hashed = {name: blake2b(f'["holdout","{name}"]'.encode(), digest_size=8).digest() for name in names}
    assert sorted(sorted(hashed, key=hashed.__getitem__)[:3]) == ["06", "10", "14"]
    assert len(dataset.keys("train")) == 17
    assert made(tmp_path, lq=None, holdout=1.0).splits() == ("test",)
    assert len(made(tmp_path, lq=None, holdout=1.0).keys("test")) == 20
    shutil.rmtree(tmp_path / "gt")
    write(tmp_path, {"gt/only.png": picture(1)})
    with pytest.raises(DataError, match="cannot be held out"):
        made(tmp_path, lq=None).keys("test")


def test_all_that_names_show_is_one_report(tmp_path: Path) -> None:
    pairs(tmp_path, [f"{number}.png" for number in range(3)])
    write(tmp_path, {"lq/e.png": b"", "gt/e.png": picture(1), "gt/notes.txt": b"x", "gt/2.bmp": picture(3)})
    write(tmp_path, {f"lq/orphan{number:02}.png": picture(1) for number in range(25)})
    write(tmp_path, {f"{side}/{name}.png": picture(1) for side in ("lq", "gt") for name in ("Aa", "aA")})
    write(tmp_path, {"gt/.hidden.png": b"", "gt/Thumbs.db": b"", "lq/.DS_Store": b"", "lq/__MACOSX/x.png": b""})
    os.symlink("loop.png", tmp_path / "gt/loop.png")
    with pytest.raises(DataError) as caught:
        made(tmp_path).fingerprint()
    text = str(caught.value)
    assert caught.value.kind == "data"
    for line in (
        "31 files do not fit, so nothing is prepared",
        "1 cannot be read", "gt/loop.png: its links lead in a circle", "1 is empty (to do: get it again",
        "lq/e.png: it has 0 bytes",
        "gt/notes.txt: its ending is no picture's", "1 has the key of another file", "gt/2.png: as gt/2.bmp",
        "2 have a name that differs from another in case only",
        "lq/aA.png: as lq/Aa.png", "26 have no partner",
        "lq/orphan16.png: no gt file belongs to it", "and 6 more", "skip: [",
    ):  # fmt: skip
        assert line in text, f"{line!r} is not in {text}"
    for hidden in (".hidden", "Thumbs", "DS_Store", "MACOSX", "orphan20", str(tmp_path)):
        assert hidden not in text


def test_all_that_pixels_show_is_one_report_before_the_first_image(tmp_path: Path) -> None:
    pairs(tmp_path, [f"{number}.png" for number in range(6)])
    whole = (tmp_path / "gt/1.png").read_bytes()
    write(tmp_path, {"gt/1.png": whole[:-9], "lq/2.png": b"no picture", "lq/3.png": picture(1, 12, 15)})
    write(tmp_path, {"gt/4.png": np.full((12, 16), 7, np.uint8), "lq/5.png": np.full((12, 16, 3), 7, np.uint16)})
    dataset = made(tmp_path, holdout=0.0)
    dataset.fingerprint()
    with pytest.raises(DataError) as caught:
        dataset.images("train")
    text = str(caught.value)
    for line in (
        "5 files do not fit", "2 cannot be read", "gt/1.png: the file is cut off (get it again)",
        "lq/2.png: it is no PNG",
        "(convert it to PNG)",
        "lq/3.png: 12×15, and gt/3.png is 12×16", "2 have other channels or bits",
        "gt/4.png: 1 × uint8, the rest 3 × uint8", "lq/5.png: 3 × uint16, the rest 3 × uint8",
    ):  # fmt: skip
        assert line in text, f"{line!r} is not in {text}"
    with pytest.raises(DataError, match="5 files"):
        dataset.images_at("train", ["0", "3"])
    assert next(iter(dataset.images_at("train", ["0"]))).key == "0", "one alone is not held up by others"
    first = first_image(dataset, "train")
    assert first is not None
    assert first.key == "0"
    with pytest.raises(DataError, match="12×15"):
        list(dataset.images_at("train", ["3"]))
    skipping = made(tmp_path, holdout=0.0, skip=("1.png", "lq/2.png", "gt/3.png", "[45].png"))
    assert levels(skipping, "train") == {"0": (10, 11)}
    assert dict(skipping.skipped("train"))["gt/2.png"] == "its partner lq/2.png is left out"


def test_what_is_skipped_is_told_with_its_reason(tmp_path: Path) -> None:
    pairs(tmp_path, ["a.png", "b.png", "c.png"])
    write(tmp_path, {"lq/x.png": picture(1), "gt/e.png": b"", "lq/e.png": picture(1), "gt/read me.txt": b"x"})
    dataset = made(tmp_path, skip=("*.txt", "lq/x.png", "e.png", "gt/b.png"), holdout=0.0)
    assert [key for key, _ in dataset.keys("train")] == ["a", "c"]
    assert dataset.skipped("train") == [
        ("gt/b.png", "named in `skip`"),
        ("gt/e.png", "it has 0 bytes"),
        ("gt/read me.txt", "its ending is no picture's"),
        ("lq/b.png", "its partner gt/b.png is left out"),
        ("lq/e.png", "named in `skip`"),
        ("lq/x.png", "it has no partner"),
    ]
    with pytest.raises(DataError, match=r"1 is in `skip` and names no file(.|\n)*    old\.png"):
        made(tmp_path, skip=("*.txt", "lq/x.png", "e.png", "old.png")).fingerprint()


def test_a_fingerprint_is_of_names_and_bytes_and_never_of_places(tmp_path: Path) -> None:
    pairs(tmp_path / "here", ["a.png", "b.png", "ü.png"])
    first = made(tmp_path / "here").fingerprint()
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copy)
    assert made(tmp_path / "there").fingerprint() == first
    os.rename(tmp_path / "there/lq/a.png", tmp_path / "there/lq/d.png")
    os.rename(tmp_path / "there/gt/a.png", tmp_path / "there/gt/d.png")
    assert made(tmp_path / "there").fingerprint() != first
    content = bytearray((tmp_path / "here/gt/a.png").read_bytes())
    content[-1] ^= 1
    (tmp_path / "here/gt/a.png").write_bytes(content)
    assert made(tmp_path / "here").fingerprint() != first, "same name, same size"
    assert made(tmp_path / "here", lq=None).fingerprint() != made(tmp_path / "here").fingerprint()


def test_each_file_is_hashed_and_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pairs(tmp_path, ["a.png", "b.png", "c.png"])
    monkeypatch.setattr(looks, "WORTH_SAYING", 1)
    seen: list[str] = []

    def noted(name: str, real: Callable[[File], Any]) -> Callable[[File], Any]:
        return lambda file: (seen.append(name), real(file))[1]  # type: ignore[func-returns-value]

    for name in ("_sha256", "_look"):
        monkeypatch.setattr(looks, name, noted(name, vars(looks)[name]))
    with caplog.at_level(logging.WARNING):
        made(tmp_path).fingerprint()
    assert [re.sub(r"\(.*", "", record.message) for record in caplog.records] == ["hashing 3 files "] * 2
    for _ in range(2):
        monkeypatch.setattr(looks, "_MEMORY", {})  # as another process
        made(tmp_path).fingerprint()
        made(tmp_path).check("train")
        made(tmp_path).check("test")
    assert len(seen) == 12
    write(tmp_path, {"lq/b.png": picture(200)})
    os.utime(tmp_path / "lq/b.png", ns=(1, 1))
    made(tmp_path).fingerprint()
    assert len(seen) == 13, "only the changed one"


def test_a_cache_that_cannot_be_used_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs(tmp_path, ["a.png", "b.png"])
    first = made(tmp_path).fingerprint()
    for content in (b"{", b"[]", b'{"a": 1}'):
        monkeypatch.setattr(looks, "_MEMORY", {})
        for file in looks.cache_folder().glob("*.json"):
            file.write_bytes(content)
        assert made(tmp_path).fingerprint() == first
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(looks, "_MEMORY", {})
    dataset = made(tmp_path)
    assert dataset.fingerprint() == first
    assert len(list(dataset.images("train"))) == 1


def test_many_files_of_any_name(tmp_path: Path) -> None:
    content = cv2.imencode(".png", picture(1))[1].tobytes()
    for side in ("lq", "gt"):
        write(tmp_path, {f"{side}/{number}.png": content for number in range(2000)})
    decomposed, composed = "e\u0301.png", "\u00e9.png"
    write(tmp_path, {f"lq/{decomposed}": content, f"gt/{composed}": content})
    write(tmp_path, {"lq/雪 [1].png": content, "gt/雪 [1].png": content})
    dataset = made(tmp_path)
    keys = {key for split in dataset.splits() for key, _ in dataset.keys(split)}
    assert len(keys) == 2002
    assert {"\u00e9", "雪 [1]"} <= keys
    assert len(dataset.keys("test")) == 200
    assert len(made(tmp_path, skip=("雪 [1].png",)).skipped("train")) == 2, "a name with brackets is a name first"
    os.rename(tmp_path / f"gt/{composed}", os.fsencode(tmp_path) + b"/gt/\xff.png")
    with pytest.raises(DataError, match="1 has a name that is no text") as caught:
        made(tmp_path).fingerprint()
    assert str(caught.value).encode()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gt": "nowhere"}, "gt: there is no such folder"),
        ({"gt": "gt/*.jpg"}, "gt: no file is found"),
        ({"gt": "*/../../*.png"}, r"`\.\.` after a wildcard"),
        ({"lq": "empty"}, "lq: no file is found"),
    ],
)
def test_a_folder_that_is_missing_or_empty_blocks_and_says_which(tmp_path: Path, options: Any, says: str) -> None:
    pairs(tmp_path, ["a.png", "b.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=says) as caught:
        made(tmp_path, **options).fingerprint()
    assert caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pair": {"lq": "(a)"}}, "two expressions"),
        ({"pair": {"lq": "(a", "gt": "(a)"}}, "no regular expression"),
        ({"pair": {"lq": "a", "gt": "(a)"}}, "has no group"),
        ({"scene": "a"}, "has no group"),
        ({"pair": "none", "lq": None}, "give lq"),
        ({"lq": "gt"}, "one place"),
        ({"test_gt": "gt", "test_lq": "tlq"}, "test_gt and gt are one place"),
        ({"test_gt": "tgt", "test_lq": "tlq", "holdout": 0.3}, "holdout does nothing beside test_gt"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        made(tmp_path, **options)


def test_one_place_may_hold_several_sides(tmp_path: Path) -> None:
    """Nothing is waited for that this very process holds."""
    write(tmp_path, {"a_lq.png": picture(1), "a_gt.png": picture(2), "b_gt.png": picture(4), "b_lq.png": picture(3)})
    place = {"lq": "*_lq.png", "gt": "*_gt.png"}
    dataset = made(tmp_path, **place, test_lq="[ab]_lq.png", test_gt="[ab]_gt.png", pair={"lq": "(.*)_", "gt": "(.*)_"})
    assert levels(dataset, "train") == levels(dataset, "test") == {"a_lq": (1, 2), "b_lq": (3, 4)}


def test_links_between_folders_end_no_walk(tmp_path: Path) -> None:
    write(tmp_path, {"gt/a.png": picture(1), "gt/in/b.png": picture(2)})
    os.symlink("..", tmp_path / "gt/in/up")
    os.symlink("a.png", tmp_path / "gt/linked.png")
    dataset = made(tmp_path, lq=None, gt="gt/**", holdout=0.0)
    assert [key for key, _ in dataset.keys("train")] == ["a", "in/b", "linked"]


def test_names_and_pixels_of_all_splits_are_one_report(tmp_path: Path) -> None:
    pairs(tmp_path, ["0.png", "1.png", "2.png", "3.png"])
    pairs(tmp_path, ["4.png", "5.png"], "test_lq", "test_gt")
    write(tmp_path, {"gt/alone.png": picture(1), "lq/1.png": b"", "lq/new\nline.png": picture(1)})
    np.save(tmp_path / "gt/2.npy", np.zeros((12, 16, 3)))
    (tmp_path / "gt/2.png").unlink()
    np.save(tmp_path / "test_gt/4.npy", np.zeros((3, 12, 16), np.uint8))
    (tmp_path / "test_gt/4.png").unlink()
    dataset = made(tmp_path, test_gt="test_gt", test_lq="test_lq", skip=("zz.png", "yy*"))
    with pytest.raises(DataError) as caught:
        dataset.check_all()
    assert caught.value.what.splitlines() == [
        "5 files do not fit and 2 entries of `skip` name no file, so nothing is prepared",
        "  2 cannot be read (to do: what each line says; or leave them out)",
        "    gt/2.npy: its pixels are float64 (write uint8, uint16, or float32 with white at 1)",
        "    test_gt/4.npy: its channels come first (3×12×16 uint8) (pixels.transpose(1, 2, 0))",
        "  1 is empty (to do: get it again, or leave it out)",
        "    lq/1.png: it has 0 bytes",
        "  1 has a name that is no text (to do: rename it)",
        "    lq/new\\nline.png: its name is no text that can be printed",
        "  1 has no partner (to do: add what is missing, correct `pair`, or leave it out)",
        "    gt/alone.png: no lq file belongs to it",
        "  2 are in `skip` and name no file (to do: correct or remove them)",
        "    zz.png",
        "    yy*",
    ]
    pairs(tmp_path / "sound", ["0.png", "1.png"])
    with pytest.raises(DataError, match="1 entry of `skip` names no file, so nothing") as caught:
        made(tmp_path / "sound", skip=("zz.png",)).keys("train")
    assert caught.value.hint == "correct the entries of skip, or remove them"


def test_clean_pictures_of_another_scale_are_named_and_noisy_ones_are_taken(tmp_path: Path) -> None:
    for side in ("lq", "gt"):
        (tmp_path / side).mkdir()
    for number, level in enumerate((-0.5, -0.04, 3.9, 200.0)):
        np.save(tmp_path / f"gt/{number}.npy", np.full((12, 16, 3), level, np.float32))
        np.save(tmp_path / f"lq/{number}.npy", np.full((12, 16, 3), -0.5, np.float32))
    with pytest.raises(DataError) as caught:
        made(tmp_path).check_all()
    assert caught.value.what.splitlines()[1:] == [
        "  2 have numbers of another scale; black is 0 and white 1 (to do: what each line says; or leave them out)",
        "    gt/0.npy: from -0.5 to -0.5 ((pixels + 1) / 2 where black is -1)",
        "    gt/3.npy: from 200 to 200 (divide by 255)",
    ]
    made(tmp_path, skip=("[03].npy",)).check_all()
