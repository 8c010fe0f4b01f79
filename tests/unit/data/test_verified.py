"""What was verified is remembered, and nothing that changed is believed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
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
def machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of a machine that remembers nothing."""
    folder = tmp_path_factory.mktemp("machine")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


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


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no folder of files could be written, by root either."""
    write = verified._write
    monkeypatch.setattr(verified, "_write", lambda path, known: path.name == MEMO or write(path, known))


@pytest.mark.usefixtures("read_only")
def test_a_machine_remembers_what_cannot_be_written_beside_the_files(
    tmp_path: Path, hashed: list[str], machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    for _ in range(3):
        assert digest(tmp_path, path) == file_sha256(path)
    assert hashed == [path.name]
    assert os.listdir(tmp_path) == [path.name]
    path.write_bytes(b"abd")
    assert digest(tmp_path, path) == file_sha256(path)
    assert hashed == [path.name] * 2
    monkeypatch.setattr(tempfile, "tempdir", str(machine / "another"))
    (machine / "another").mkdir()
    digest(tmp_path, path)
    assert hashed == [path.name] * 3


@pytest.mark.usefixtures("read_only")
def test_of_many_processes_one_hashes_while_the_others_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [made(tmp_path, f"{number:06d}.tar", bytes([number])) for number in range(3)]
    names: list[str] = []

    def slow(path: Path) -> str:
        names.append(path.name)
        time.sleep(0.05)
        return file_sha256(path)

    def opened() -> None:
        with Verified(tmp_path) as known:
            found.append([known.sha256(path) for path in paths])

    monkeypatch.setattr(verified, "known_sha256", slow)
    found: list[list[str]] = []
    threads = [threading.Thread(target=opened) for _ in range(4)]  # a lock is of an open file, as between processes
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[file_sha256(path) for path in paths]] * 4
    assert sorted(names) == [path.name for path in paths]


@pytest.mark.usefixtures("read_only")
def test_nobody_waits_for_ever(tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path)
    monkeypatch.setattr(verified, "_PATIENCE", 0.1)
    holder = Verified(tmp_path)
    with holder:
        holder.sha256(path)
        assert digest(tmp_path, path) == file_sha256(path)
    assert hashed == [path.name] * 2


def test_a_new_file_is_remembered_by_a_machine_that_has_watched_it(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "_SETTLED", 3600.0)
    monkeypatch.setattr(verified, "_LARGE", 1)
    path = made(tmp_path)
    began = time.monotonic()
    assert digest(tmp_path, path) == digest(tmp_path, path) == file_sha256(path)
    assert time.monotonic() - began >= 2.0  # longer than a tick of any file system
    assert hashed == [path.name]
    assert not (tmp_path / MEMO).exists()  # other machines have seen nothing of it


@pytest.mark.parametrize("kind", ["link", "file", "everybody's"])
def test_what_others_may_have_written_is_not_believed(
    tmp_path: Path, hashed: list[str], machine: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    own = machine / f"priorbench-verified-{os.getuid()}"
    if kind == "link":
        (machine / "theirs").mkdir()
        own.symlink_to(machine / "theirs")
    elif kind == "file":
        own.write_text("")
    else:
        own.mkdir()
        own.chmod(0o777)
    monkeypatch.setattr(verified, "_write", lambda path, known: path.name == MEMO)
    assert digest(tmp_path, path) == digest(tmp_path, path) == file_sha256(path)
    assert hashed == [path.name] * 2
