"""What a machine has to show before it gets jobs, asked of this one under false pretences."""

from __future__ import annotations

import os
import platform
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.api.running import Shared
from harness.core.version import package_version
from harness.scheduling import proof
from harness.scheduling.proof import forget, gather, shortcomings, versions
from harness.storage.copies import copy_of
from harness.storage.store import Store


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
