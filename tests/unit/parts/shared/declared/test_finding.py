"""Which layout lies in a folder, and what is said where none does, or more than one."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.source import Files, Group
from harness.core.errors import DataError, Unfit
from tests.unit.parts.shared.declared.conftest import Write, layout, opened

OFFICIAL = layout(
    train=Files(lq=("our/low/*",), gt=("our/high/*",)),
    test=Files(lq=("eval/low/*",), gt=("eval/high/*",)),
    inside=("Toy",),
)
PREPARED = layout("prepared", train=Files(lq=("train/input/*.png",), gt=("train/target/*.png",)))


def pairs(base: str = "", *, train: str = "our", test: str = "eval") -> dict[str, int]:
    names = [
        f"{base}{split}/{side}/{number}.png" for split in (train, test) for side in ("low", "high") for number in "12"
    ]
    return {name: 10 + place for place, name in enumerate(names)}


def refused(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        opened(root, OFFICIAL, PREPARED).check_all()
    return caught.value


def test_a_layout_is_found_in_the_folder_and_in_one_inside(write: Write, tmp_path: Path) -> None:
    root = write(pairs())
    first = opened(root, OFFICIAL, PREPARED)
    assert (first.layout_name, first.splits(), first.check_all()) == ("official", ("train", "test"), [])
    known = first.fingerprint()
    (tmp_path / "around").mkdir()
    shutil.move(root, tmp_path / "around" / "Toy")
    second = opened(tmp_path / "around", OFFICIAL, PREPARED)
    assert second.layout_name == "official"
    assert second.fingerprint() == known  # its names do not know the folder around


def test_the_other_layout_is_found(write: Write) -> None:
    assert opened(write({"train/input/a.png": 1, "train/target/a.png": 2}), OFFICIAL, PREPARED).splits() == ("train",)


def test_wildcards_in_the_folders_own_name_are_letters(write: Write, tmp_path: Path) -> None:
    root = tmp_path / "da[t]a*"
    shutil.move(write(pairs()), root)
    assert len(opened(root, OFFICIAL).keys("train")) == 2


@pytest.mark.parametrize("given", ["data/our", "data/our/low", "."])
def test_a_folder_nearby_is_named(write: Write, tmp_path: Path, given: str) -> None:
    root = write(pairs())
    error = refused(tmp_path / given)
    assert "no file of any of its layouts is found" in error.what
    assert "official (the authors, also in Toy): our/high/*, our/low/*, eval/high/*, eval/low/*" in error.what
    assert error.hint == f"it lies in {root}: give this folder"


def test_a_wrong_folder_is_told_what_was_looked_for(write: Write) -> None:
    error = refused(write({f"{name}.txt": b"x" for name in "abcdefghij"}))
    assert "what lies there: a.txt, b.txt, c.txt, d.txt, e.txt, f.txt, g.txt, h.txt, and 2 more" in error.what
    assert "prepared (the authors): train/target/*.png, train/input/*.png" in error.what
    assert error.hint.endswith("Toy-1 is at https://toy.example/page")


@pytest.mark.parametrize(("name", "what"), [("none", "there is no such folder"), ("file", "a file, not a folder")])
def test_no_folder_is_said(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert what in refused(tmp_path / name).what


def test_half_an_archive_is_one_report_with_all_else(write: Write) -> None:
    files = pairs() | {"our/low/1.png": b"", "our/high/3.png": 5}
    root = write({name: content for name, content in files.items() if not name.startswith("eval/high")})
    text = str(refused(root))
    assert "1 place of the layout is empty" in text
    assert "eval/high/*: there is no folder eval/high" in text
    assert "our/low/1.png: it has 0 bytes" in text
    assert "our/high/3.png: no lq file belongs to it" in text
    assert "eval/low/1.png" not in text  # without the other side, all would be orphans


def test_two_layouts_are_one_too_many(write: Write) -> None:
    error = refused(write(pairs() | {"train/input/a.png": 1, "train/target/a.png": 2}))
    assert isinstance(error, Unfit)
    assert (error.what, error.hint) == (
        "more than one layout of Toy-1 is found: official, prepared",
        "leave one of them there",
    )


def test_one_layout_in_two_places_is_one_too_many(write: Write) -> None:
    root = write(pairs() | pairs("Toy/"))
    error = refused(root)
    assert error.what == "more than one layout of Toy-1 is found: official, official in Toy"
    assert error.hint == f"give the folder of one of them: {root}/Toy"


def test_a_layout_whose_files_another_one_has_too_is_no_second_one(write: Write) -> None:
    half = layout("half", test=Files(lq=("eval/low/*",), gt=("eval/high/*",)))
    assert opened(write(pairs()), half, OFFICIAL).layout_name == "official"
    again = replace(OFFICIAL, name="again")
    assert opened(write(pairs()), again, OFFICIAL).layout_name == "again"


def test_links_in_a_circle_end(write: Write) -> None:
    root = write({name: level for name, level in pairs().items() if not name.startswith("eval/low")})
    os.symlink("low", root / "eval" / "low")
    assert "eval/low is a link that leads nowhere or in a circle" in str(refused(root))


def test_links_out_of_the_folder_are_followed_and_remarked(write: Write, tmp_path: Path) -> None:
    root = write(pairs())
    shutil.move(root / "our" / "low", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", root / "our" / "low")
    os.remove(root / "eval" / "low" / "1.png")
    os.symlink(tmp_path / "elsewhere" / "1.png", root / "eval" / "low" / "1.png")
    dataset = opened(root, OFFICIAL)
    remark = "3 files lie outside of the folder, through links: our/low/1.png is"
    assert dataset.check_all() == [f"{remark} {tmp_path}/elsewhere/1.png …"]
    assert [len(dataset.keys(split)) for split in dataset.splits()] == [2, 2]
    os.remove(tmp_path / "elsewhere" / "1.png")
    assert "eval/low/1.png: " in str(refused(root))  # a link that leads nowhere now


def test_the_folder_itself_may_be_a_link(write: Write, tmp_path: Path) -> None:
    os.symlink(write(pairs()), tmp_path / "link")
    os.rename(tmp_path / "data/our/low/1.png", tmp_path / "data/our/x.png")
    os.symlink("../x.png", tmp_path / "data/our/low/1.png")  # a link that stays within
    assert opened(tmp_path / "link", OFFICIAL).check_all() == []


def test_what_is_no_file_is_not_opened(write: Write) -> None:
    root = write(pairs())
    os.remove(root / "our/low/1.png")
    os.mkfifo(root / "our/low/1.png")  # reading it would never end
    assert "our/low/1.png: it is no file" in str(refused(root))


def test_a_copy_with_the_test_half_alone_is_taken_and_remarked(write: Write) -> None:
    root = write({name: level for name, level in pairs().items() if name.startswith("eval")})
    dataset = opened(root, OFFICIAL)
    assert dataset.splits() == ("test",)
    assert dataset.keys("test") == [("1", "test/1"), ("2", "test/2")]  # as in the whole copy
    remark = "no training images are found, so it has no train; looked in our/high/*, our/low/*"
    assert dataset.check_all() == [remark]
    (root / "our/low").mkdir(parents=True)  # half there
    assert "our/high/*: there is no folder our/high" in str(refused(root))


def test_splits_that_other_layouts_have_are_remarked(write: Write) -> None:
    both = layout("both", train=Files(gt=("a/*",)), test=Files(gt=("b/*",)))
    half = layout("half", test=Files(gt=("c/*",)))
    remark = "no training images are found, so it has no train; looked in a/*"
    assert opened(write({"c/1.png": 1}), both, half).check_all() == [remark]


def test_test_sets_beside_the_whole_are_passed(write: Write) -> None:
    half = layout("half", test=Files(lq=("test/low/*",), gt=("test/high/*",)))
    dataset = opened(write(pairs() | {"test/low/9.png": 1, "test/high/9.png": 2}), half, OFFICIAL)
    assert dataset.layout_name == "official"
    assert dataset.check_all() == ["what lies there as half is not read: official has more splits"]


@pytest.mark.parametrize("name", ["Toy.zip", "toy.TAR.GZ", "toy.7z.001", "toy.rar"])
def test_an_archive_is_to_be_unpacked_first(write: Write, name: str) -> None:
    root = write({name: b"x"})
    assert refused(root).hint.startswith(f"unpack {name} first")
    assert refused(root / name).hint.startswith(f"unpack {name} first")


def test_endings_match_in_any_case_and_others_are_remarked(write: Write) -> None:
    toy = layout(test=Files(gt=("*/img-*.png",)))
    dataset = opened(write({"a/img-1.png": 1, "a/img-2.PNG": 2, "a/img-3.jpg": 3, "a/other.jpg": 4}), toy)
    assert [key for key, _ in dataset.keys("test")] == ["a/img-1", "a/img-2"]
    remark = "1 picture is left out, as the data set has none of that ending there: a/img-3.jpg"
    assert dataset.check_all() == [remark]


def test_what_is_no_regular_file_is_not_opened_as_a_list(write: Write) -> None:
    grouped = Files(gt=("*.png",), groups=(Group(name="in", file="in.txt"),))
    root = write({"a.png": 1})
    os.mkfifo(root / "in.txt")
    with pytest.raises(DataError, match="it is no file"):
        opened(root, layout(test=grouped)).check_all()


def test_a_scene_that_is_a_broken_link_is_told(write: Write) -> None:
    root = write({f"{scene}/{side}/1.png": level for scene in "ab" for side, level in (("low", 1), ("high", 2))})
    toy = layout(test=Files(lq=("*/low/*",), gt=("*/high/*",)))
    os.symlink("nowhere", root / "c")
    os.symlink("d", root / "d")
    with pytest.raises(DataError, match="c: it is a link that leads nowhere or in a circle"):
        opened(root, toy).check_all()
