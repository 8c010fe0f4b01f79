"""Data sets of the field under bad luck: kills, half archives, wrong folders, a library that is lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.api.dataset import SourceImage
from harness.api.library import read_note
from harness.api.sets import PreparedSet
from harness.cli import exits
from harness.core.paths import Layout
from harness.data import waiting
from harness.parts.shared.pictures import looks
from harness.records.lock import run_lock
from tests.field_tree import write_lol
from tests.unit.cli.results import bench


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    monkeypatch.setattr(looks, "_MEMORY", {})
    return tmp_path / "library"


def prepare(folder: Path, code: int = exits.DONE) -> str:
    done = bench("data", "prepare", "lol_v1", "--from", folder, "--executor", "local")
    assert done.exit_code == code, done.output
    return str(done.output)


def content(library: Path) -> dict[str, bytes]:
    """The files of all sets in use."""
    note = read_note("lol_v1", library)
    assert note is not None
    folders = [PreparedSet(dataset=note.dataset, split=split).folder(library) for split in note.splits]
    return {
        f"{folder.name}/{path.name}": path.read_bytes()
        for folder in folders
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


KILLED = """
import os, signal, sys
from harness.core import paths
from harness.cli.main import main
left = int(sys.argv.pop(1))
replace, rename = os.replace, os.rename
def counted(real):
    def act(*given, **named):
        global left
        if str(given[1]).startswith(os.environ["PRIORBENCH_DATA"]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return act
os.replace, os.rename = counted(replace), counted(rename)
main()
"""
"""`bench …`, killed when it is about to give something its place in the library for the n-th time."""


def killed_after(steps: int, folder: Path) -> int:
    words = [str(steps), "data", "prepare", "lol_v1", "--from", str(folder), "--executor", "local"]
    return subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, timeout=120).returncode


def test_a_preparation_that_is_killed_at_any_step_goes_on_to_the_same_bytes(tmp_path: Path, library: Path) -> None:
    root = write_lol(tmp_path / "lol", train=70, test=2)
    prepare(root)
    whole = content(library)
    shutil.rmtree(library)
    for steps in range(0, 40, 3):  # what the last attempt has finished stays, so that each one comes further
        code = killed_after(steps, root)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if read_note("lol_v1", library) is None:
            listed = json.loads(bench("data", "list", "--data", library, "--format", "json").stdout)
            assert not any(row["in_use"] for row in listed)
    else:
        pytest.fail("it never ends")
    assert content(library) == whole
    assert "nothing to do" in prepare(root)


def test_finished_shards_are_not_made_again(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_lol(tmp_path / "lol", train=130, test=1)
    written: list[tuple[str, int]] = []
    write = waiting.Waiting._write

    def counted(self: waiting.Waiting, shard: int, images: Iterator[SourceImage]) -> waiting.FinishedShard:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append((self.stored.split, shard))
        return write(self, shard, images)

    monkeypatch.setattr(waiting.Waiting, "_write", counted)
    bench("data", "prepare", "lol_v1", "--from", root, "--executor", "local")
    assert len(written) == 2
    assert read_note("lol_v1", library) is None
    first, written[:] = list(written), [("", -1), ("", -1), ("", -1)]
    said = prepare(root)
    assert sorted([*first, *written[3:]]) == [("test", 0), ("train", 0), ("train", 1), ("train", 2)]
    assert "goes on: " in said


def test_a_wrong_folder_is_one_report_and_nothing_is_written(tmp_path: Path, library: Path) -> None:
    (tmp_path / "wrong/pictures").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "wrong/pictures/1.png"), np.zeros((8, 8, 3), np.uint8))
    said = prepare(tmp_path / "wrong", exits.FAILED)
    assert "our485/low/*" in said
    assert not library.exists()


def test_half_an_archive_and_broken_pictures_are_one_report(tmp_path: Path, library: Path) -> None:
    root = write_lol(tmp_path / "lol")
    (root / "our485/high/2.png").unlink()
    (root / "eval15/low/1.png").write_bytes(b"")
    broken = root / "our485/low/3.png"
    broken.write_bytes(broken.read_bytes()[:300])
    said = prepare(root, exits.FAILED)
    for name in ("low/2.png", "low/1.png", "low/3.png"):
        assert name in said
    assert said.count("nothing is prepared") == 1
    assert not (library / "sets").exists()


def test_pictures_that_break_in_decoding_are_one_report_and_no_half_set_stays(tmp_path: Path, library: Path) -> None:
    root = write_lol(tmp_path / "lol", train=5)
    for name in ("our485/low/3.png", "our485/high/4.png", "eval15/high/2.png"):
        whole = (root / name).read_bytes()
        (root / name).write_bytes(whole[: len(whole) // 2])
    said = prepare(root, exits.FAILED)
    assert said.count("nothing is prepared") == 1
    for name in ("3.png", "4.png", "2.png"):
        assert name in said
    assert not list(library.glob("sets/*/*")), "neither sets nor shards that wait"
    assert read_note("lol_v1", library) is None
    write_lol(root, train=5)
    assert "prepared" in prepare(root)


def test_a_picture_of_another_kind_is_reported_although_it_can_be_decoded(tmp_path: Path, library: Path) -> None:
    root = write_lol(tmp_path / "lol", train=5)
    cv2.imwrite(str(root / "our485/low/3.png"), np.full((24, 32), 9, np.uint8))
    said = prepare(root, exits.FAILED)
    assert "3.png" in said
    assert "the rest 3 × uint8" in said
    assert read_note("lol_v1", library) is None
    assert not list(library.glob("sets/*/*"))


def test_names_that_are_not_ascii_and_links_in_a_circle(tmp_path: Path, library: Path) -> None:
    root = write_lol(tmp_path / "lól 夜")
    for side in ("low", "high"):
        (root / "our485" / side / "1.png").rename(root / "our485" / side / "é夜.png")
    prepare(root)
    note = read_note("lol_v1", library)
    assert note is not None
    assert note.splits == {"train": 3, "test": 2}
    (root / "our485/low/2.png").unlink()
    (root / "our485/low/2.png").symlink_to(root / "our485/low/2.png")
    said = prepare(root, exits.FAILED)
    assert "low/2.png" in said
    assert "circle" in said
    assert read_note("lol_v1", library) == note, "what is in use stays in use"


def test_two_preparations_of_one_set_do_not_meet(tmp_path: Path, library: Path) -> None:
    root = write_lol(tmp_path / "lol")
    with run_lock(Layout(library / "preparing" / "lol_v1", library)):
        done = bench("data", "prepare", "lol_v1", "--from", root)
    assert done.exit_code == exits.FAILED
    assert "another run" in done.output
    assert read_note("lol_v1", library) is None
    prepare(root)


def test_a_library_on_a_disk_that_is_gone_blocks_with_the_command(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(write_lol(tmp_path / "lol"))
    suite = """
suite: small
metrics: [psnr]
defaults: {dataset: lol_v1, recipe: {steps: 2, batch: 1, patch: 16}}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
    variant: base
"""
    (tmp_path / "suite.yaml").write_text(suite)
    with chdir(tmp_path):
        assert bench("plan", "suite.yaml").exit_code == exits.DONE
        library.rename(tmp_path / "elsewhere")
        gone = bench("plan", "suite.yaml")
        assert gone.exit_code == exits.BLOCKED, gone.output
        assert "bench data prepare lol_v1 --from DIR" in gone.output
        (tmp_path / "elsewhere").rename(library)
        shutil.rmtree(library / "sets")  # the note alone is left
        gone = bench("plan", "suite.yaml")
        assert gone.exit_code == exits.BLOCKED, gone.output
        assert "is not in the library" in gone.output
        assert "bench data prepare lol_v1 --from DIR" in gone.output
