"""A disk that is away for a minute costs a run that minute."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core import outlast as module
from harness.core.beat import beats
from harness.core.errors import HarnessError
from harness.core.outlast import AWAY, is_there, outlast, outlasting
from harness.core.paths import Layout, atomic_file, atomic_folder, remove_away, write_text
from harness.jobs.classify import classify
from harness.records import store


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.01)


def failing(code: int, times: int) -> tuple[Callable[[], str], list[int]]:
    """An action that a disk refuses so many times."""
    tries: list[int] = []

    def action() -> str:
        tries.append(code)
        if len(tries) <= times:
            raise OSError(code, os.strerror(code))
        return "done"

    return action, tries


@contextmanager
def away(root: Path) -> Iterator[None]:
    """Takes a folder away, and brings it back some time after the block has begun."""
    aside = root.with_name("aside")
    root.rename(aside)
    timer = threading.Timer(0.3, aside.rename, [root])
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.parametrize("code", sorted(AWAY))
def test_a_mount_that_is_gone_is_waited_for_with_one_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    action, tries = failing(code, times=3)
    before = beats()
    with outlasting(tmp_path), caplog.at_level(logging.WARNING):
        assert outlast(action, tmp_path / "file") == "done"
    assert len(tries) == 4
    assert beats() - before == 3
    waited, back = [record.getMessage() for record in caplog.records]
    assert waited == f"{tmp_path}/file: {os.strerror(code)}; its disk is waited for"
    assert back.startswith(f"{tmp_path}/file: its disk is back after")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOENT])
def test_nothing_else_is_waited_for(tmp_path: Path, code: int) -> None:
    action, tries = failing(code, times=1)
    with outlasting(tmp_path), pytest.raises(OSError, match=os.strerror(code)):
        outlast(action, tmp_path / "file")
    assert len(tries) == 1


def test_nothing_waits_outside_of_runs(tmp_path: Path) -> None:
    action, tries = failing(errno.EIO, times=1)
    with pytest.raises(OSError, match="nput/output"):
        outlast(action, tmp_path / "file")
    assert len(tries) == 1


def test_a_disk_that_was_given_up_is_not_waited_for_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    action, tries = failing(errno.ESTALE, times=10**6)
    with outlasting(tmp_path):
        for number in range(2):
            before = len(tries)
            with pytest.raises(OSError, match="tale"):
                outlast(action, tmp_path / "file")
            assert (len(tries) - before == 1) == bool(number)
        assert outlast(lambda: "another disk", tmp_path) == "another disk"
        with pytest.raises(OSError, match="tale"):
            outlast(action, tmp_path / "file")
        assert len(tries) - before > 2


def test_writes_and_reads_wait_for_a_folder_that_was_there_and_make_none_in_its_place(tmp_path: Path) -> None:
    root = tmp_path / "out"
    root.mkdir()
    layout = Layout(root, root / "data", frozenset(["again"]))
    layout.anew_cell("again").mkdir(parents=True)
    (layout.cell("again") / "old").mkdir()
    write_text(layout.record("again"), "{")
    with outlasting(*layout.roots):
        with away(root):
            write_text(root / "jobs" / "one.json", "written")
        with away(root):
            store.append_event(layout, "one", {"event": "start"})
        with away(root):
            assert layout.cell("again") == layout.anew_cell("again")
        with away(root):
            assert is_there(layout.anew_cell("again"))
        with away(root), pytest.raises(HarnessError, match="damaged"):
            store.load(layout, "again")
        with atomic_folder(root / "set") as made:
            (made / "shard").write_text("x")
            with away(root):
                write_text(made / "manifest", "y")
        with atomic_file(root / "table") as temporary:
            temporary.write_text("z")
            with away(root):
                pass
        with away(root):
            remove_away(layout.cell("again") / "old")
    assert store.read_events(layout, "one") == [{"event": "start"}]
    assert {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()} == {
        "jobs/one.json": "written",
        "cells/one/events.jsonl": '{"event": "start"}\n',
        "cells/.again.anew/record.json": "{",
        "set/shard": "x",
        "set/manifest": "y",
        "table": "z",
    }
    assert not (layout.anew_cell("again") / "old").exists()
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_block_writes_itself_is_tried_again_with_its_whole_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, gone = tmp_path / "out", tmp_path / "gone"
    root.mkdir()
    with outlasting(root):
        for block in (atomic_folder(root / "set"), atomic_file(root / "table")):
            with pytest.raises(HarnessError, match="its disk went away") as caught, block as made:
                root.rename(gone)
                (made / "shard").write_text("x")
            assert caught.value.kind == "worker_lost"
            gone.rename(root)
        with pytest.raises(HarnessError, match="its disk went away"), atomic_folder(root / "set"):
            root.rename(gone)
            raise ValueError("a library's own error")
        plain = FileNotFoundError(errno.ENOENT, "No such file", str(root / "shard"))
        assert classify(plain) == "worker_lost"
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        with pytest.raises(HarnessError, match="No such file") as caught:
            write_text(root / "table", "")
        assert (caught.value.kind, classify(plain)) == ("storage", "bug")
        assert classify(OSError(errno.EIO, "")) == "storage"


def test_a_folder_that_never_comes_back_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    root = tmp_path / "out"
    root.mkdir()
    with outlasting(root):
        root.rmdir()
        with pytest.raises(HarnessError, match="No such file") as caught:
            write_text(root / "jobs" / "one.json", "")
    assert caught.value.kind == "storage"
    assert os.listdir(tmp_path) == []
