"""Damage of the library's sets: what plans and `bench data verify` say of it, and what stays when preparing fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.api.library import Note, read_note, write_note
from harness.api.sets import PreparedSet
from harness.cli import data_prepare, exits
from harness.core.damage import note_damage, noted_damage
from harness.parts.shared.pictures import looks
from tests.field_tree import write_lol
from tests.unit.cli.results import bench

NET = "{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}"
SUITE = f"suite: s\nblocks: [{{task: low_light, dataset: lol_v1, backbone: {NET}, recipe: {{steps: 2, patch: 16}}}}]\n"


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Note:
    """LOL-v1 in the library of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    monkeypatch.setattr(looks, "_MEMORY", {})
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SUITE)
    done = bench("data", "prepare", "lol_v1", "--from", write_lol(tmp_path / "lol"))
    assert done.exit_code == exits.DONE, done.output
    found = read_note("lol_v1", tmp_path / "library")
    assert found is not None
    return found


def folder(note: Note, split: str) -> Path:
    return PreparedSet(dataset=note.dataset, split=split).folder(Path("library").absolute())


def told() -> list[str]:
    """What a plan says of the data set itself."""
    lines = bench("plan", "s.yaml").stdout.splitlines()
    return [line.partition(":")[0] for line in lines if ": lol_v1: LOL-v1, 500 pairs" in line]


def test_a_plan_tells_a_damaged_set_from_one_that_is_not_prepared(note: Note) -> None:
    assert told() == []
    note_damage(folder(note, "test"), "000000.tar: broken")
    assert told() == ["damaged in the library"]
    shutil.rmtree(folder(note, "test"))
    assert told() == ["not prepared"]
    write_note(note.model_copy(update={"dataset": note.dataset.model_copy(update={"version": "0"})}), Path("library"))
    assert told() == ["prepared for another version"]


def test_what_turns_out_to_be_sound_is_no_longer_said_to_be_damaged(note: Note) -> None:
    note_damage(folder(note, "test"), "000000.tar: broken")
    assert bench("data", "verify", "lol_v1").exit_code == exits.DONE
    assert noted_damage(folder(note, "test")) == ""
    assert told() == []


def test_preparing_that_fails_removes_nothing_that_is_in_use(note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    """A split is gone from the library, and the copy that it is to be made of has gone bad meanwhile."""
    shutil.rmtree(folder(note, "test"))
    Path("lol/eval15/low/1.png").write_bytes(b"no picture")
    monkeypatch.setattr(data_prepare, "fingerprint_of", lambda part: note.dataset.digest)
    failed = bench("data", "prepare", "lol_v1", "--from", "lol", "--executor", "local")
    assert failed.exit_code == exits.FAILED
    assert "eval15/low/1.png" in failed.output, failed.output
    assert (folder(note, "train") / "manifest.json").is_file()
    assert read_note("lol_v1", Path("library")) == note
