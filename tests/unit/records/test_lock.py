"""One run at a time on one folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from harness.core.errors import HarnessError
from harness.core.paths import PLACE_OPTION, Layout, write_text
from harness.records.lock import run_lock, side_lock

HOLD = """
import sys, time
from pathlib import Path
from harness.core.paths import Layout
from harness.records.lock import run_lock
with run_lock(Layout(Path(sys.argv[1]), Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "data")


def test_a_second_run_is_told_who_holds_the_folder(layout):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(layout.out)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HarnessError) as caught, run_lock(layout):
            pytest.fail("both hold the folder")
        assert f"process {holder.pid} on {os.uname().nodename}, since 20" in str(caught.value)
        assert f"kill {holder.pid}" in caught.value.hint
        assert "--out" in caught.value.hint
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with run_lock(layout):  # the lock of a dead process is none, although its signature is still there
            assert str(os.getpid()) in layout.lock.read_text()
    finally:
        holder.kill()
        holder.wait()


def test_the_lock_can_be_taken_again_also_after_an_error(layout):
    with pytest.raises(KeyError), run_lock(layout):
        raise KeyError
    with run_lock(layout):
        pass
    assert layout.lock.read_text() == ""


def test_a_holder_that_has_not_signed_yet_is_still_respected(layout):
    with run_lock(layout):
        layout.lock.write_text("")
        with pytest.raises(HarnessError, match="just started"), run_lock(layout):
            pytest.fail("both hold the folder")


def test_a_file_in_the_folders_place_is_a_clear_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(HarnessError) as caught, run_lock(Layout(tmp_path / "out", tmp_path)):
        pytest.fail("locked a file")
    assert caught.value.kind == "storage"


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs a file system that nobody can write")
def test_a_read_only_folder_is_a_clear_error():
    from pathlib import Path

    with pytest.raises(HarnessError) as caught, run_lock(Layout(Path("/proc/priorbench"), Path("/proc/priorbench"))):
        pytest.fail("locked a read-only folder")
    assert caught.value.kind == "storage"
    assert "/proc" in caught.value.where


def test_the_hint_names_the_option_of_the_command(layout):
    token = PLACE_OPTION.set("--data")
    try:
        with run_lock(layout), pytest.raises(HarnessError) as caught, run_lock(layout):
            pytest.fail("both hold the folder")
    finally:
        PLACE_OPTION.reset(token)
    assert caught.value.hint.endswith("choose another folder with --data")


def test_jobs_share_the_folder_and_not_what_they_write(layout):
    with side_lock(layout, "one"), side_lock(layout, "two"):
        with pytest.raises(HarnessError, match="another run is using this folder"), side_lock(layout, "one"):
            pytest.fail("both write the same")
        with pytest.raises(HarnessError, match="another run is using this folder"), run_lock(layout):
            pytest.fail("a driver runs beside single jobs")
    with run_lock(layout), pytest.raises(HarnessError, match=f"process {os.getpid()} "), side_lock(layout, "one"):
        pytest.fail("a job runs beside a driver")
    with side_lock(layout, "one"):
        pass
    assert [path.name for path in layout.out.iterdir()] == [".lock"]


def test_a_lock_that_its_holder_removed_meanwhile_is_not_taken_for_the_lock(layout, monkeypatch):
    own, plain = layout.out / ".lock.one", fcntl.flock
    held: list[Any] = []

    def late(handle, how):
        """Between opening the file and locking it another job ends, and a third one begins."""
        if own.exists() and not held:
            held.append(own.unlink())
            own.touch()
        plain(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with side_lock(layout, "one"):
        assert held == [None]
        with pytest.raises(HarnessError, match="another run is using this folder"), side_lock(layout, "one"):
            pytest.fail("both write the same")


@pytest.mark.parametrize("lock", [run_lock, lambda layout: side_lock(layout, "one")])
def test_who_holds_a_folder_outlasts_that_its_disk_is_away(layout, lock):
    away = layout.out.with_name("away")
    with lock(layout):
        layout.out.rename(away)
        timer = threading.Timer(0.3, away.rename, [layout.out])
        timer.start()
        write_text(layout.job_file("one"), "{}")
        timer.join()
    assert not away.exists(), "something was made in its place"
    assert layout.job_file("one").read_text() == "{}"
