"""`bench data example`: what it says, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cli import exits
from tests.unit.cli.results import bench


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_says_what_to_do_next(tmp_path: Path) -> None:
    done = bench("data", "example", "rain100l", "--to", "there/rain")
    assert done.exit_code == exits.DONE, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("there/rain: 8 files in the layout of rain100l")
    assert lines[1].strip() == "next:  bench data prepare rain100l --from there/rain"
    assert len([file for file in (tmp_path / "there/rain").rglob("*") if file.is_file()]) == 9, "and EXAMPLE.json"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lol_v2", "--to", "new"], "no data set of the field is called 'lol_v2'"),
        (["photos", "--to", "new"], "photos is no data set of the field"),
        (["folder", "--to", "new"], "folder is no data set of the field"),
        (["lol_v1", "--to", " "], "it is empty, and should name a folder"),
        (["lol_v1", "--to", "a" * 5000], "it is too long for the name of a folder"),
        (["lol_v1", "--to", "~nobody_of_this_name/a"], "there is no user nobody_of_this_name"),
        (["lol_v1", "--to", "new", "--layout", "restormer"], "LOL-v1 has no layout 'restormer'"),
        (["lol_v1", "--to", "new", "--layout", ""], "LOL-v1 has no layout ''"),
        (["lol_v1", "--to", "full"], "this folder is not empty"),
        (["lol_v1", "--to", "full/mine.txt"], "this is no folder"),
        (["lol_v1", "--to", "full/mine.txt/below"], "full/mine.txt"),
        (["lol_v1", "--to", "nowhere"], "this is no folder"),
    ],
)
def test_it_refuses_and_writes_nothing(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    before = sorted(tmp_path.rglob("*"))
    done = bench("data", "example", *words)
    assert done.exit_code in (exits.FAILED, exits.WRONG), done.output
    assert said in done.output
    assert "--debug" not in done.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = bench("data", "example", "lol_v1", "--to", "locked/new")
    assert done.exit_code == exits.FAILED
    assert "cannot write here" in done.output
