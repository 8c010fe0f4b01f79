import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, PreparedSet, Samples
from harness.core import paths
from harness.core.errors import HarnessError
from harness.core.fence import fenced
from harness.core.paths import Layout, atomic_folder, below
from harness.planning.unneeded import TEMPORARY


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    paths.write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        paths.write_json(path, {"x": float("nan")})
    with pytest.raises(RuntimeError, match="stop"), paths.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == '{\n "x": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_atomic_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "set"
    with pytest.raises(RuntimeError, match="stop"), paths.atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
        raise RuntimeError("stop")
    assert os.listdir(tmp_path) == []
    with paths.atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"


def test_of_two_writers_of_one_folder_the_first_to_finish_wins(tmp_path):
    target = tmp_path / "set"
    with paths.atomic_folder(target) as slow:
        (slow / "a").write_text("slow")
        with paths.atomic_folder(target) as fast:
            (fast / "a").write_text("fast")
    assert (target / "a").read_text() == "fast"
    assert os.listdir(tmp_path) == ["set"]


def test_a_folder_that_a_killed_try_had_begun_goes_when_the_next_one_begins_it(tmp_path: Path) -> None:
    place = tmp_path / "made [1]"

    def begin(attempt: str, job: str = "train-1") -> Path:
        with fenced(tmp_path / f"{job}.attempt", attempt):
            building = atomic_folder(place)
            left = building.__enter__()
            (left / "half").write_text("…")
            left_open.append(building)  # as a kill leaves it
        return left

    left_open: list[Any] = []
    first, of_another_job = begin("one"), begin("one", "train-2")
    beside = begin("one")  # another thread of the same try
    assert first.is_dir()
    assert beside.is_dir()
    second = begin("two")
    assert not first.exists()
    assert not beside.exists()
    assert second.is_dir()
    assert of_another_job.is_dir()
    assert all(TEMPORARY.fullmatch(left.name) for left in (second, of_another_job))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "cannot write"),
        (errno.EIO, "nput/output"),
        (errno.EFBIG, "too large"),
        (errno.ENOENT, "No such file"),
    ],
)
def test_storage_errors_speak_plainly(tmp_path, code, words):
    error = paths.storage_error(OSError(code, os.strerror(code)), tmp_path)
    assert isinstance(error, HarnessError)
    assert error.kind == "storage"
    assert words in error.what
    assert error.where == str(tmp_path)
    assert error.hint


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\\b", "a\0"])
def test_nothing_lies_outside_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(HarnessError, match="cannot be the name of a file or folder"):
        below(tmp_path, "cells", name)
    for place in (Layout(tmp_path, tmp_path).placed_cell, Layout(tmp_path, tmp_path).cell):
        with pytest.raises(HarnessError):
            place(name)
    part = PartRef(name="x")
    for split, dataset in ((name, "set"), ("train", f"../{name}")):
        stored = PreparedSet(dataset=PartRef(name=dataset), split=split)
        samples = Samples(stored=stored)
        with pytest.raises(HarnessError):
            stored.folder(tmp_path)
        with pytest.raises(HarnessError):
            FeatureSet(prior=part, samples=samples, reference=samples).folder(tmp_path)
    sound = Samples(stored=PreparedSet(dataset=part, split="train"))
    with pytest.raises(HarnessError):
        FeatureSet(prior=PartRef(name=f"../{name}"), samples=sound, reference=sound).folder(tmp_path)


def test_names_with_spaces_and_signs_are_names() -> None:
    assert below(Path("/out"), "plain@50 %.0a", "train") == Path("/out/plain@50 %.0a/train")
