"""`bench data` and data sets of the field: prepared once, listed, shown, verified, pushed and pulled; and in plans."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.api.library import Note, read_note, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cli import exits
from harness.data.shards import open_set
from harness.parts.plugins import open_suite
from harness.parts.shared.pictures import looks
from harness.spec.unread import Unread
from tests.field_tree import write_lol
from tests.unit.cli.results import bench

SUITE = """
suite: small
metrics: [psnr]
defaults: {dataset: lol_v1, recipe: {steps: 2, batch: 1, patch: 16}}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
    variant: base
    test: [lol_v1, gopro]
  - task: low_light
    backbone: {name: nafnet, width: 16, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
    variant: base
    test: [gopro]
"""


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The library of this test, which is the data folder of its runs, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    monkeypatch.setattr(looks, "_MEMORY", {})
    with chdir(tmp_path):
        yield tmp_path / "library"


def prepared(tmp_path: Path, *words: object) -> Note:
    done = bench("data", "prepare", "lol_v1", "--from", write_lol(tmp_path / "lol"), *words)
    assert done.exit_code == exits.DONE, done.output
    note = read_note("lol_v1", tmp_path / "library")
    assert note is not None
    return note


def test_a_data_set_is_prepared_whole_and_its_note_names_it_without_its_folder(tmp_path: Path, library: Path) -> None:
    note = prepared(tmp_path)
    assert (note.splits, note.layout, note.dataset.options, note.dataset.files) == (
        {"train": 3, "test": 2}, "official", {}, {},
    )  # fmt: skip
    assert note.dataset.is_example
    opened = open_set(PreparedSet(dataset=note.dataset, split="test"), library)
    assert opened.index.keys == ["1", "2"]
    low, high = (cv2.imread(str(tmp_path / "lol/eval15" / side / "2.png")) for side in ("low", "high"))
    assert np.array_equal(opened.image(1, "lq"), low[:, :, ::-1])
    assert np.array_equal(opened.image(1, "gt"), high[:, :, ::-1])
    assert opened.manifest.licence.startswith("LOL-v1")


def test_a_second_call_does_nothing_and_says_so(tmp_path: Path, library: Path) -> None:
    prepared(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in library.rglob("*") if path.suffix in (".tar", ".json")}
    again = bench("data", "prepare", "lol_v1", "--from", tmp_path / "lol")
    assert again.exit_code == exits.DONE
    assert "nothing to do: it is prepared already" in again.output
    assert before == {path: path.stat().st_mtime_ns for path in library.rglob("*") if path.suffix in (".tar", ".json")}


def test_another_copy_takes_the_place_of_the_one_in_use_and_the_change_is_told(tmp_path: Path, library: Path) -> None:
    first = prepared(tmp_path)
    done = bench("data", "prepare", "lol_v1", "--from", write_lol(tmp_path / "other", seed=1))
    assert done.exit_code == exits.DONE, done.output
    second = read_note("lol_v1", library)
    assert second is not None
    assert second.dataset.digest != first.dataset.digest
    assert f"in place of {PreparedSet(dataset=first.dataset, split='train').name}" in done.output
    rows = json.loads(bench("data", "list", "--format", "json").stdout)
    assert sorted(row["in_use"] for row in rows) == [False, False, True, True]


def test_a_damaged_set_is_found_in_one_report_and_prepared_again(tmp_path: Path, library: Path) -> None:
    note = prepared(tmp_path)
    sound = bench("data", "verify", "lol_v1")
    assert (sound.exit_code, sound.output.count("sound")) == (exits.DONE, 2), sound.output
    for split in ("train", "test"):
        shard = PreparedSet(dataset=note.dataset, split=split).folder(library) / "000000.tar"
        content = bytearray(shard.read_bytes())
        content[1200] ^= 0xFF
        shard.write_bytes(content)
    found = bench("data", "verify", "lol_v1")
    assert found.exit_code == exits.FAILED
    assert "/train: 000000.tar is not the file that the manifest names" in found.output
    assert "/test: 000000.tar is not the file that the manifest names" in found.output
    assert "bench data prepare lol_v1 --from DIR" in found.output
    again = bench("data", "prepare", "lol_v1", "--from", tmp_path / "lol")
    assert again.exit_code == exits.DONE, again.output
    assert bench("data", "verify", "lol_v1").exit_code == exits.DONE


def test_what_was_pushed_is_verified_there_and_pulled_with_its_note(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = prepared(tmp_path, "--to", tmp_path / "store")
    sound = bench("data", "verify", tmp_path / "store")
    assert (sound.exit_code, sound.output.count("sound")) == (exits.DONE, 2), sound.output
    monkeypatch.delenv("PRIORBENCH_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    pulled = bench("data", "pull", tmp_path / "store")
    assert pulled.exit_code == exits.DONE, pulled.output
    there = read_note("lol_v1", tmp_path / "home/.cache/priorbench/data")
    assert there is not None
    assert (there.dataset, there.splits) == (note.dataset, note.splits)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("lol_v1, gopro", "lol_v1").replace("gopro", "lol_v1"))
    resolved, _ = open_suite("suite.yaml")
    assert resolved.cells[0].cell.train == note.dataset
    shard = next((tmp_path / "store").rglob("train/000000.tar"))
    shard.write_bytes(shard.read_bytes()[:-600])
    damaged = bench("data", "verify", tmp_path / "store")
    assert damaged.exit_code == exits.FAILED
    assert "bench data push SET --to URL --verify" in damaged.output


def test_the_list_shows_what_is_in_use_and_what_is_an_example(tmp_path: Path, library: Path) -> None:
    note = prepared(tmp_path)
    rows = json.loads(bench("data", "list", "--format", "json").stdout)
    assert [(row["split"], row["in_use"], row["example"], row["linked"]) for row in rows] == [
        ("test", True, True, False), ("train", True, True, False),
    ]  # fmt: skip
    table = bench("data", "list").stdout
    assert table.count("in use, example") == 2
    assert PreparedSet(dataset=note.dataset, split="train").name in table
    (library / "datasets/lol_v1.json").write_text("{")
    listed = bench("data", "list")
    assert listed.exit_code == exits.DONE
    assert "this note of the library is damaged" in listed.output


def test_the_declaration_is_shown_with_whether_it_is_prepared(tmp_path: Path) -> None:
    before = bench("data", "show", "lol_v1").stdout
    for words in ("LOL-v1, 500 pairs of 600×400", "https://daooshee.github.io", "485 samples", "our485/low/*",
                  "rgb_uint8", "trap", "not prepared in"):  # fmt: skip
        assert words in before
    assert "62 scenes (not sure: another number is a warning)" in bench("data", "show", "sdsd_indoor").stdout
    prepared(tmp_path)
    assert "lol_v1 (example) is prepared: 3 train, 2 test, official layout" in bench("data", "show", "lol_v1").stdout
    told = json.loads(bench("data", "show", "lol_v1", "--format", "json").stdout)
    assert told["title"] == "LOL-v1"
    assert told["prepared"]["splits"] == {"train": 3, "test": 2}
    listed = {line.split("│")[1].strip(): line for line in bench("list", "datasets").stdout.splitlines() if "│" in line}
    assert "(prepared, example)" in listed["lol_v1"]
    assert "(not prepared)" in listed["gopro"]


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (["prepare", "lol_v9", "--from", "."], "did you mean", exits.WRONG),
        (["prepare", "folder", "--from", "."], "bench data add", exits.WRONG),
        (["prepare", "photos", "--from", "."], "is no data set of the field", exits.WRONG),
        (["prepare", "lol_v1", "--from", ""], "should name a folder", exits.WRONG),
        (["prepare", "lol_v1", "--from", ".", "--data", " "], "should name a folder", exits.WRONG),
        (["prepare", "lol_v1", "--from", "nowhere"], "there is no such folder", exits.WRONG),
        (["prepare", "lol_v1", "--from", ".", "--executor", "rya"], "did you mean", exits.WRONG),
        (["prepare", "lol_v1", "--from", ".", "--address", "?"], "is not the address", exits.WRONG),
        (["verify", "lol_v1"], "it is not prepared", exits.FAILED),
        (["verify", "lol_v9"], "no prepared set is called lol_v9", exits.WRONG),
        (["show", "photos"], "is no data set of the field", exits.WRONG),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(words: list[str], says: str, code: int) -> None:
    done = bench("data", *words)
    assert (done.exit_code, says in done.output) == (code, True), done.output


def test_a_plan_lists_each_missing_set_once_and_blocks_what_needs_it(tmp_path: Path, library: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = bench("plan", "suite.yaml")
    assert done.exit_code == exits.BLOCKED, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("not prepared: ")]
    assert [line.split(": ")[1] for line in lines] == ["lol_v1", "gopro"]
    assert "500 pairs of 600×400, https://daooshee.github.io/BMVC2018website/" in lines[0]
    assert all(
        f"bench data prepare {name} --from DIR" in line for name, line in zip(("lol_v1", "gopro"), lines, strict=True)
    )
    assert done.output.count("https://seungjunnah") == 1
    prepared(tmp_path)
    done = bench("plan", "suite.yaml")
    lines = [line for line in done.output.splitlines() if line.startswith("not prepared: ")]
    assert [line.split(": ")[1] for line in lines] == ["gopro"]
    assert (
        "blocked: without gopro: dataset gopro is not prepared · try: bench data prepare gopro --from DIR"
        in done.output
    )
    checked = bench("check", "--quick", "suite.yaml")
    assert checked.exit_code == exits.DONE, checked.output
    assert "GoPro is not prepared" in checked.output


def test_a_plan_tells_of_a_set_whose_files_are_gone(tmp_path: Path, library: Path) -> None:
    note = prepared(tmp_path)
    (PreparedSet(dataset=note.dataset, split="test").folder(library) / "000000.tar").unlink()
    (tmp_path / "suite.yaml").write_text(SUITE.replace("lol_v1, gopro", "lol_v1").replace("gopro", "lol_v1"))
    done = bench("plan", "suite.yaml")
    assert done.exit_code == exits.BLOCKED, done.output
    assert "its split test in the library" in done.output
    assert "bench data prepare lol_v1 --from DIR" in done.output


def test_a_suite_that_names_the_folder_is_told_how_it_is_prepared(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE.replace("dataset: lol_v1", "dataset: {name: lol_v1, root: pictures}"))
    done = bench("check", "--quick", "suite.yaml")
    assert done.exit_code == exits.WRONG
    assert f"bench data prepare lol_v1 --from {tmp_path / 'pictures'}" in done.output
    assert done.output.count("a suite names lol_v1 alone") == 1


def test_a_suite_knows_a_prepared_set_without_a_picture(tmp_path: Path, library: Path) -> None:
    ref = PartRef(name="lol_v1", digest="0123456789abcdef")
    write_note(Note(dataset=ref, splits={"train": 3, "test": 2}), library)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("lol_v1, gopro", "lol_v1").replace("gopro", "lol_v1"))
    unread = Unread()
    resolved, _ = open_suite("suite.yaml", (), unread)
    assert resolved.cells[0].cell.train == ref
    assert not unread.missing


def real(splits: dict[str, int], library: Path) -> PartRef:
    """Puts a real content of LOL-v1 in use, of which nothing but the note is looked at."""
    ref = PartRef(name="lol_v1", digest="0123456789abcdef")
    write_note(Note(dataset=ref, splits=splits), library)
    return ref


def used(library: Path) -> PartRef:
    note = read_note("lol_v1", library)
    assert note is not None
    return note.dataset


def test_examples_take_the_place_of_a_real_set_only_when_they_are_told_to(tmp_path: Path, library: Path) -> None:
    ref = real({"train": 485, "test": 15}, library)
    words = ("data", "prepare", "lol_v1", "--from", write_lol(tmp_path / "lol"))
    refused = bench(*words)
    assert refused.exit_code == exits.FAILED, refused.output
    assert "(485 train, 15 test) is in use and stays so" in refused.output
    assert "bench data prepare lol_v1 --from DIR --replace" in refused.output
    assert used(library) == ref
    assert not (library / "sets").exists()
    done = bench(*words, "--replace")
    assert (done.exit_code, "in place of lol_v1." in done.output) == (exits.DONE, True), done.output
    assert used(library).is_example


def test_a_copy_without_a_split_does_not_take_the_place_of_one_that_has_it(tmp_path: Path, library: Path) -> None:
    first = prepared(tmp_path)
    write_note(Note(dataset=first.dataset, splits={**first.splits, "val": 1}), library)
    refused = bench("data", "prepare", "lol_v1", "--from", write_lol(tmp_path / "other", seed=1))
    assert (refused.exit_code, "the other copy has no val split" in refused.output) == (exits.FAILED, True)
    assert used(library) == first.dataset


def test_a_pull_of_several_contents_puts_none_in_use_and_names_them(tmp_path: Path, library: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    first = prepared(tmp_path, "--to", store)
    bench("data", "prepare", "lol_v1", "--from", write_lol(tmp_path / "other", seed=1), "--to", store)
    second = used(library)
    names = [PreparedSet(dataset=dataset, split="train").name for dataset in (first.dataset, second)]
    several = bench("data", "pull", store, "--data", elsewhere)
    assert several.exit_code == exits.FAILED, several.output
    assert all(name in several.output for name in names)
    assert read_note("lol_v1", elsewhere) is None
    one = bench("data", "pull", store / names[0], "--data", elsewhere)
    assert one.exit_code == exits.DONE, one.output
    assert used(elsewhere) == first.dataset
    other = bench("data", "pull", store / names[1], "--data", elsewhere)
    assert f"in place of {names[0]}" in other.output
    assert used(elsewhere) == second
    pushed = bench("data", "push", "lol_v1", "--to", tmp_path / "again")
    assert (pushed.exit_code, [path.name for path in (tmp_path / "again").iterdir()]) == (exits.DONE, names[1:])


def test_examples_that_are_pulled_leave_a_real_set_in_use(tmp_path: Path, library: Path) -> None:
    prepared(tmp_path, "--to", tmp_path / "store")
    ref = real({"train": 485, "test": 15}, library)
    pulled = bench("data", "pull", tmp_path / "store")
    assert (pulled.exit_code, "made of examples" in pulled.output) == (exits.FAILED, True), pulled.output
    assert used(library) == ref


def test_a_declared_split_that_the_library_lacks_blocks_the_cells(tmp_path: Path, library: Path) -> None:
    note = prepared(tmp_path)
    write_note(Note(dataset=note.dataset, splits={"test": 2}), library)
    shutil.rmtree(PreparedSet(dataset=note.dataset, split="train").folder(library))
    (tmp_path / "suite.yaml").write_text(SUITE.replace("lol_v1, gopro", "lol_v1").replace("gopro", "lol_v1"))
    done = bench("plan", "suite.yaml")
    assert done.exit_code == exits.BLOCKED, done.output
    assert "the library's copy of lol_v1 (example) has no train split, only test" in done.output


def test_a_suite_without_results_is_not_told_of_them(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    for _ in range(2):
        done = bench("run", "suite.yaml", "--executor", "local", "--tracker", "none")
        assert done.exit_code == exits.BLOCKED, done.output
        assert "results cannot be told" not in done.output


def test_verify_counts_as_preparing_does_and_takes_a_folder_without_a_slash(tmp_path: Path, library: Path) -> None:
    prepared(tmp_path, "--to", tmp_path / "st")
    done = bench("data", "verify", "st")
    assert done.exit_code == exits.DONE, done.output
    assert "sound, 3 images (6 pictures)" in done.output
