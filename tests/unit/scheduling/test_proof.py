"""What a machine has to show before it gets jobs, asked of this one under false pretences."""

from __future__ import annotations

import os
import platform
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.api.running import Shared
from harness.core.errors import HarnessError
from harness.core.version import package_version
from harness.scheduling import proof
from harness.scheduling.proof import forget, gather, shortcomings, versions
from harness.storage.copies import copy_of
from harness.storage.store import Store

NOBODY = 65534
OUTPUT, DATA = ("output", "out"), ("data", "data")


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "TRIES", 1)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    plugin = tmp_path / "mine.py"
    plugin.write_text("CATALOGUE = ()")
    return Shared(str(tmp_path / "out"), str(tmp_path / "data"), (str(plugin),))


def test_the_same_machine_lacks_nothing_and_nothing_is_left(shared):
    evidence = gather(shared)
    assert shortcomings(evidence) == []
    forget(evidence)
    assert os.listdir(shared.out) == os.listdir(shared.data) == []


def test_a_folder_that_is_not_there(shared):
    evidence = gather(shared)
    forget(evidence)
    os.rmdir(shared.out)
    assert shortcomings(evidence) == [
        f"the output folder {shared.out} is not there",
        f"the data folder {shared.data} is another folder there",  # there, and without the driver's file
    ]


def test_a_folder_of_the_same_name_with_another_content(shared):
    evidence = gather(shared)
    for mark in evidence.marks:
        Path(mark.file).write_text("another word")
    assert [reason.partition(" /")[0] for reason in shortcomings(evidence)] == ["the output folder", "the data folder"]


@pytest.fixture
def open_shared() -> Iterator[Shared]:
    """Folders that other users reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Shared(f"{folder}/out", f"{folder}/data")


@contextmanager
def without_rights() -> Iterator[None]:
    """Inside, this process is not the superuser, if it is at all."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_file_that_may_not_be_read_is_not_taken_for_another_folder(open_shared):
    """As under another user, where the driver's umask lets nobody else read."""
    evidence = gather(open_shared)
    for mark in evidence.marks:
        os.chmod(mark.file, 0)
    with without_rights():
        found = shortcomings(evidence)
    assert found == [
        f"the output folder {open_shared.out} cannot be read there: Permission denied",
        f"the data folder {open_shared.data} cannot be read there: Permission denied",
    ]


def test_a_folder_that_can_be_read_and_not_written(open_shared):
    for fills, where in ((False, [OUTPUT]), (True, [OUTPUT, DATA])):
        evidence = gather(replace(open_shared, fills_data=fills))
        for mark in evidence.marks:
            os.chmod(mark.folder, 0o555)
        with without_rights():
            found = shortcomings(evidence)
        for mark in evidence.marks:
            os.chmod(mark.folder, 0o755)
        assert [reason.replace(str(Path(open_shared.out).parent), "") for reason in found] == [
            f"the {name} folder /{folder} cannot be written there: Permission denied" for name, folder in where
        ]


def test_what_a_machine_leaves_is_removed_at_once_or_with_the_rest(shared):
    evidence = gather(replace(shared, fills_data=True))
    assert shortcomings(evidence) == []
    assert [len(os.listdir(folder)) for folder in (shared.out, shared.data)] == [1, 1]
    Path(f"{evidence.marks[0].file}-0123").touch()  # by a machine that was stopped in between
    forget(evidence)
    assert os.listdir(shared.out) == []


def test_a_store_that_can_be_read_and_not_written(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORBENCH_STORES", str(tmp_path / "copies"))
    url = f"memory://{uuid.uuid4().hex}/run"
    evidence = gather(replace(shared, out=str(copy_of(url).files)))
    assert shortcomings(evidence) == []
    assert len(Store(url).find("")) == 1

    def refuse(store: Store, key: str, content: bytes) -> None:
        raise HarnessError("no rights for it", where=f"{store.url}/{key}")

    monkeypatch.setattr(Store, "write", refuse)
    assert shortcomings(evidence) == [f"the output folder {url} cannot be written there: no rights for it"]


def test_a_store_is_read_and_not_the_working_copy_of_it(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORBENCH_STORES", str(tmp_path / "copies"))
    url = f"memory://{uuid.uuid4().hex}/run"
    evidence = gather(replace(shared, out=str(copy_of(url).files)))
    (key,) = Store(url).find("")
    assert key.startswith(".nonce-")
    monkeypatch.setenv("PRIORBENCH_STORES", str(tmp_path / "those of another machine"))
    assert shortcomings(evidence) == []
    Store(url).write(key, b"another word")
    (reason,) = shortcomings(evidence)
    assert reason.startswith(f"the output folder {url} is another store there")
    forget(evidence)
    assert not Store(url).find("")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_folder_that_may_only_be_read_is_known_by_what_lies_in_it(shared):
    os.makedirs(Path(shared.data) / "sets")
    os.chmod(shared.data, 0o555)
    evidence = gather(shared)
    assert shortcomings(evidence) == []
    os.chmod(shared.data, 0o755)
    os.makedirs(Path(shared.data) / "more")
    assert shortcomings(evidence) == [f"the data folder {shared.data} is another folder there"]


def test_the_versions_are_what_python_says():
    assert versions()["priorbench"] == package_version()
    assert platform.python_version().startswith(versions()["Python"] + ".")
    assert torch.__version__.startswith(versions()["torch"].partition("+")[0])


def test_other_versions(shared):
    evidence = gather(shared)
    own = dict(evidence.versions or {})
    other = replace(evidence, versions={**own, "torch": "1.0", "Python": "2.7", "nothing-of-that-name": "3"})
    assert shortcomings(other) == [
        f"Python is {own['Python']} there and 2.7 here",
        f"torch is {own['torch']} there and 1.0 here",
        "nothing-of-that-name is missing there and 3 here",
    ]


def test_a_plug_in_that_differs_is_said_and_one_that_is_missing_comes_with_the_job(shared):
    evidence = gather(shared)
    (plugin,) = shared.plugins
    Path(plugin).unlink()
    assert shortcomings(evidence) == []
    Path(plugin).write_text("CATALOGUE = (1,)")
    assert shortcomings(evidence) == [f"the plug-in {plugin} is another file there"]


def test_a_killed_run_leaves_one_mark_at_most_which_the_next_one_removes(tmp_path):
    shared = Shared(str(tmp_path / "out"), str(tmp_path / "data"), ())
    gather(shared)  # by a run that is killed
    forget(gather(shared))
    assert [*(tmp_path / "out").iterdir(), *(tmp_path / "data").iterdir()] == []
