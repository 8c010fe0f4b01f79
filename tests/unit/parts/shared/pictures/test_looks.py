"""What is known of picture files is believed as long as nothing about them has changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.core.identity import known_sha256
from harness.parts.shared.pictures import looks
from harness.parts.shared.pictures.listing import listed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(looks, "_MEMORY", {})
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.bmp"), np.zeros((4, 6, 3), np.uint8))
    return tmp_path / "pictures"


def change_unseen(path: Path) -> str:
    """Other pixels of the same size, and the time of change set back. Gives the new digest."""
    times = path.stat()
    content = path.read_bytes()[:-1] + b"\xff"
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("process", ["the same", "another"])
def test_a_change_that_keeps_size_and_time_is_noticed(
    process: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digests() -> list[str]:
        return looks.sha256s(listed(str(folder), "gt"), str(folder))

    before = digests()
    changed = change_unseen(folder / "a.bmp")
    if process == "another":
        monkeypatch.setattr(looks, "_MEMORY", {})
    assert digests() == [changed] != before


def test_a_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = looks.sha256s(listed(str(folder), "gt"), str(folder))
    monkeypatch.setattr(looks, "_MEMORY", {})
    monkeypatch.setattr(looks, "file_sha256", lambda path: pytest.fail("it is known"))
    assert looks.sha256s(listed(str(folder), "gt"), str(folder)) == before


def test_a_change_within_one_process_is_noticed_too(folder: Path) -> None:
    known_sha256(folder / "a.bmp")
    assert change_unseen(folder / "a.bmp") == known_sha256(folder / "a.bmp")
