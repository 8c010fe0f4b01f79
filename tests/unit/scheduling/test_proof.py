"""What a machine has to show before it gets jobs, asked of this one under false pretences."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import harness
from harness.api.running import Shared
from harness.core.errors import HarnessError
from harness.core.own_code import own_source, source_digest
from harness.core.version import package_version
from harness.scheduling import proof
from harness.scheduling.proof import Evidence, forget, gather, shortcomings, versions
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
    assert [sorted(os.listdir(folder)) for folder in (shared.out, shared.data)] == [["cells", "jobs"], []]


def test_a_folder_that_is_not_there(shared):
    evidence = gather(shared)
    forget(evidence)
    shutil.rmtree(shared.out)
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


def of_folders(evidence: Evidence) -> list[str]:
    """What another user lacks of the folders. It need not be able to read this environment's packages."""
    with without_rights():
        return [reason for reason in shortcomings(evidence) if " folder " in reason]


def test_a_file_that_may_not_be_read_is_not_taken_for_another_folder(open_shared):
    """As under another user, where the driver's umask lets nobody else read."""
    evidence = gather(open_shared)
    for mark in evidence.marks:
        os.chmod(mark.file, 0)
    assert of_folders(evidence) == [
        f"the output folder {open_shared.out} cannot be read there: Permission denied",
        f"the data folder {open_shared.data} cannot be read there: Permission denied",
    ]


def test_a_folder_that_can_be_read_and_not_written(open_shared):
    for fills, where in ((False, [OUTPUT]), (True, [OUTPUT, DATA])):
        evidence = gather(replace(open_shared, fills_data=fills))
        for mark in evidence.marks:
            os.chmod(mark.folder, 0o555)
        found = of_folders(evidence)
        for mark in evidence.marks:
            os.chmod(mark.folder, 0o755)
        assert [reason.replace(str(Path(open_shared.out).parent), "") for reason in found] == [
            f"the {name} folder /{folder} cannot be written there: Permission denied" for name, folder in where
        ]


@pytest.mark.parametrize("name", ["out/cells", "out/jobs", "data/sets", "data/features", "data/prints"])
def test_a_folder_below_that_cannot_be_written(open_shared, name):
    """As under another account, where the first to write made it for itself alone."""
    folder = Path(open_shared.out).parent / name
    evidence = gather(replace(open_shared, fills_data=True))
    for path in [*map(Path, evidence.marks[0].written), *map(Path, evidence.marks[1].written)]:
        path.chmod(0o777)
    assert of_folders(evidence) == []
    folder.chmod(0o555)
    (reason,) = of_folders(evidence)
    folder.chmod(0o755)
    assert reason.endswith(f" folder {folder} cannot be written there: Permission denied")


def test_a_folder_below_that_the_driver_may_not_write_either_is_not_asked_for(open_shared):
    """As prepared sets that are for reading alone, where jobs make features beside them."""
    folder = Path(open_shared.data) / "sets"
    folder.mkdir(parents=True)
    for path in (Path(open_shared.out), Path(open_shared.data)):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    folder.chmod(0o555)
    with without_rights():
        written = gather(replace(open_shared, fills_data=True)).marks[1].written
    folder.chmod(0o755)
    assert [Path(each).name for each in written] == ["data", "features", "prints"]


def test_what_a_machine_leaves_is_removed_at_once_or_with_the_rest(shared):
    evidence = gather(replace(shared, fills_data=True))
    assert shortcomings(evidence) == []
    assert [len(list(hidden(folder))) for folder in (shared.out, shared.data)] == [1, 1]
    for mark in evidence.marks:
        for folder in mark.written:  # by a machine that was stopped in between
            (Path(folder) / f"{Path(mark.file).name}-0123").touch()
    assert [len(list(hidden(folder))) for folder in (shared.out, shared.data)] == [4, 5]
    forget(evidence)
    assert [*hidden(shared.out), *hidden(shared.data)] == []


def hidden(folder: str) -> Iterator[Path]:
    """What a proof leaves, wherever."""
    return Path(folder).rglob(".nonce-*")


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


def test_other_code_of_the_same_version(shared, monkeypatch):
    evidence = gather(shared)
    monkeypatch.setattr(proof, "own_source", lambda: "0123456789abcdef")
    assert shortcomings(evidence) == ["the code of priorbench is another there, though its version is the same"]
    other = replace(evidence, versions={**(evidence.versions or {}), "priorbench": "0.0"})
    assert [reason.partition(" there")[0] for reason in shortcomings(other)] == [f"priorbench is {package_version()}"]


def test_code_is_the_same_whatever_its_line_endings_and_what_python_leaves_beside_it(tmp_path):
    for name, end in (("checkout", b"\n"), ("installed", b"\r\n")):
        (tmp_path / name / "core").mkdir(parents=True)
        (tmp_path / name / "core" / "one.py").write_bytes(b"A = 1" + end + b"B = 2" + end)
    (tmp_path / "installed" / "core" / "__pycache__").mkdir()
    (tmp_path / "installed" / "core" / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"made by Python")
    assert source_digest(tmp_path / "checkout") == source_digest(tmp_path / "installed")
    (tmp_path / "installed" / "core" / "one.py").write_bytes(b"A = 1\nB = 3\n")
    assert source_digest(tmp_path / "checkout") != source_digest(tmp_path / "installed")
    assert own_source() == source_digest(Path(harness.__file__).parent)


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
    assert [*hidden(shared.out), *hidden(shared.data)] == []
