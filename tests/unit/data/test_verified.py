"""What was verified is remembered, and nothing that changed is believed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.core.identity import file_sha256
from harness.data import verified
from harness.data.verified import MEMO, Verified


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read, in a process that has hashed none yet."""
    names: list[str] = []

    def read(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(verified, "known_sha256", read)
    return names


def made(folder: Path, name: str = "000000.tar", content: bytes = b"abc", age: float = 100.0) -> Path:
    path = folder / name
    path.write_bytes(content)
    past = path.stat().st_mtime - age
    os.utime(path, (past, past))
    return path


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been there for long: the time of change of their places cannot be set."""
    monkeypatch.setattr(verified, "_SETTLED", -1.0)


def digest(folder: Path, path: Path) -> str:
    with Verified(folder) as known:
        return known.sha256(path)


def test_a_file_is_hashed_once_by_all_processes(tmp_path: Path, hashed: list[str]) -> None:
    one, two = made(tmp_path), made(tmp_path, "000001.tar", b"other")
    for _ in range(3):
        assert digest(tmp_path, one) == file_sha256(one)
        assert digest(tmp_path, two) == file_sha256(two)
    assert hashed == ["000000.tar", "000001.tar"]
    assert sorted(os.listdir(tmp_path)) == [MEMO, "000000.tar", "000001.tar"]


def test_a_change_of_bytes_alone_is_noticed(tmp_path: Path, hashed: list[str]) -> None:
    path = made(tmp_path)
    digest(tmp_path, path)
    times = path.stat()
    with open(path, "r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # size, time of change and place are as before
    assert digest(tmp_path, path) == file_sha256(path)
    assert hashed == [path.name] * 2


def test_a_copy_is_not_believed(tmp_path: Path, hashed: list[str]) -> None:
    (tmp_path / "a").mkdir()
    path = made(tmp_path / "a")
    digest(tmp_path / "a", path)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    digest(tmp_path / "b", tmp_path / "b" / path.name)
    assert hashed == [path.name] * 2


def test_a_file_that_just_changed_is_not_remembered(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "_SETTLED", 3600.0)
    path = made(tmp_path)
    digest(tmp_path, path)
    digest(tmp_path, path)
    assert hashed == [path.name] * 2
    assert not (tmp_path / MEMO).exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"000000.tar": 3}', '{"000000.tar": []}', '{"000000.tar": [[]]}'])
def test_a_broken_memo_is_passed_over(content: str, tmp_path: Path, hashed: list[str]) -> None:
    path = made(tmp_path)
    (tmp_path / MEMO).write_text(content)
    assert digest(tmp_path, path) == file_sha256(path)
    assert digest(tmp_path, path) == file_sha256(path)
    assert hashed == [path.name]
    assert list(json.loads((tmp_path / MEMO).read_text())) == [path.name]


def test_a_folder_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = made(tmp_path)
    monkeypatch.setattr(Path, "write_text", refused)
    assert digest(tmp_path, path) == file_sha256(path)
    assert os.listdir(tmp_path) == [path.name]


def test_a_memo_that_is_nested_too_deeply_is_none(tmp_path: Path, hashed: list[str]) -> None:
    path = made(tmp_path)
    (tmp_path / MEMO).write_text("[" * 100_000)
    with Verified(tmp_path) as known:
        assert known.sha256(path) == file_sha256(path)
    assert hashed == ["000000.tar"]
