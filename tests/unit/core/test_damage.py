"""Folders that several runs share: one makes a folder at a time, and what a kill leaves is taken care of."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from harness.core.damage import held, is_damage, set_aside, sweep
from harness.core.paths import remove_away
from harness.core.temporary import abandoned


def folder(path: Path, content: str = "x") -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(content)
    return path


def aged(path: Path) -> Path:
    """As if nobody had touched it for two days."""
    for each in (path, *path.rglob("*")):
        os.utime(each, (time.time() - 48 * 3600,) * 2)
    return path


def test_what_nobody_touched_for_a_day_is_abandoned(tmp_path: Path) -> None:
    left = aged(folder(tmp_path / ".set.0a1b2c3d.tmp"))
    assert abandoned(left)
    os.utime(left / "file")  # a file that grows does not change its folder
    assert not abandoned(left)
    assert not abandoned(tmp_path / "gone")
    assert abandoned(aged(left / "file"))


def test_an_old_folder_that_is_set_aside_is_not_abandoned_while_it_is_made_anew(tmp_path: Path) -> None:
    place = aged(folder(tmp_path / "set", "old"))
    with set_aside(place):
        (aside,) = tmp_path.iterdir()
        assert not abandoned(aside)
        sweep(place)  # as another run does
        assert [path.name for path in tmp_path.iterdir()] == [aside.name]
        folder(place, "new")
    assert [(path.name, (path / "file").read_text()) for path in tmp_path.iterdir()] == [("set", "new")]


def test_what_a_killed_run_set_aside_is_put_back_where_nothing_took_its_place(tmp_path: Path) -> None:
    place, left = tmp_path / "set", tmp_path / ".set.0a1b2c3d.aside"
    half = aged(folder(tmp_path / ".set.4e5f6a7b.tmp"))
    other = aged(folder(tmp_path / ".set.more.4e5f6a7b.tmp"))  # of a set with another name
    aged(folder(left, "old"))
    sweep(place)
    assert (place / "file").read_text() == "old"
    assert (half.exists(), other.exists()) == (False, True)
    aged(folder(left, "older"))
    sweep(place)
    assert ((place / "file").read_text(), left.exists()) == ("old", False)


def test_what_is_set_aside_stays_while_somebody_may_be_making_the_folder(tmp_path: Path) -> None:
    """Who makes the folder for more than a day may still want back what it set aside."""
    left = aged(folder(tmp_path / ".set.0a1b2c3d.aside"))
    made = folder(tmp_path / ".set.4e5f6a7b.tmp")
    sweep(tmp_path / "set")
    assert (left.exists(), made.exists()) == (True, True)


def test_one_at_a_time_holds_a_folder_and_nothing_is_left(tmp_path: Path) -> None:
    place, inside, most = tmp_path / "data" / "set", [0], [0]

    def make() -> None:
        for _ in range(20):
            with held(place):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert list(place.parent.iterdir()) == []


def test_a_lock_file_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".set.lock").write_text("")
    with held(tmp_path / "set"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_makes_nobody_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("harness.core.damage.fcntl.flock", refuse)
    with held(tmp_path / "set"), held(tmp_path / "set"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_removal_takes_files_links_and_folders(tmp_path: Path) -> None:
    target = folder(tmp_path / "kept")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "file").write_text("x")
    folder(tmp_path / ".hidden")
    for name in ("link", "file", ".hidden", "not there"):
        assert remove_away(tmp_path / name) is None
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def test_what_cannot_be_removed_whole_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.core.paths.shutil.rmtree", lambda path, ignore_errors: None)
    rest = remove_away(folder(tmp_path / "set"))
    assert rest is not None
    assert [path.name for path in tmp_path.iterdir()] == [rest.name]
    assert rest.name.startswith(".set.")


@pytest.mark.parametrize("code", ["EACCES", "EPERM", "ESTALE", "EMFILE", "ENFILE", "EIO", "ENOMEM", "ETIMEDOUT"])
def test_a_read_that_fails_now_says_nothing_about_the_file(code: str) -> None:
    assert not is_damage(OSError(getattr(errno, code), "x"))
    assert is_damage(OSError("no parquet"))
    assert is_damage(FileNotFoundError(errno.ENOENT, "x"))
