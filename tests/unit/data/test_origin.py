"""Shards that come from an S3 server: whole, once, compared, within their limit; a server that vanishes."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import DataError, HarnessError
from harness.data import origin as origins
from harness.data.origin import AHEAD, Origin, OriginNote, Shard, read_note, write_note
from harness.storage.reach import store_of, tried
from tests.s3_server import S3Server


@pytest.fixture
def shards(server: S3Server) -> list[Shard]:
    """Three shards of 100 kB on the server."""
    store, root = store_of(f"{server.url}/photos/train")
    found = []
    for number in range(3):
        content = np.random.default_rng(number).bytes(100_000)
        store.pipe_file(f"{root}/{number:06d}.tar", content)
        found.append(Shard(f"{number:06d}.tar", hashlib.sha256(content).hexdigest(), len(content)))
    return found


def opened(folder: Path, server: S3Server, shards: list[Shard], limit: int | None = None) -> Origin:
    folder.mkdir(exist_ok=True)
    return Origin(folder, OriginNote(url=f"{server.url}/photos/train", limit=limit), shards)


def test_a_shard_comes_whole_once_and_is_the_one_of_the_manifest(
    tmp_path: Path, server: S3Server, shards: list[Shard]
) -> None:
    origin = opened(tmp_path / "set", server, shards)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(origin.local, ["000001.tar"] * 4))
    assert {str(path) for path in paths} == {str(tmp_path / "set" / "000001.tar")}
    assert hashlib.sha256((tmp_path / "set" / "000001.tar").read_bytes()).hexdigest() == shards[1].sha256
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["000001.tar"]
    server.kill()  # what is here is read without the server
    assert origin.local("000001.tar") == tmp_path / "set" / "000001.tar"


def test_no_more_is_kept_than_the_limit_and_the_rest_is_read_by_ranges(
    tmp_path: Path, server: S3Server, shards: list[Shard]
) -> None:
    origin = opened(tmp_path / "set", server, shards, limit=250_000)
    kept = [origin.local(shard.name) is not None for shard in shards]
    assert kept == [True, True, False]
    assert sum(path.stat().st_size for path in (tmp_path / "set").iterdir()) <= 250_000
    content = np.random.default_rng(2).bytes(100_000)
    assert origin.read("000002.tar", 512, 1000) == content[512:1512]
    with pytest.raises(DataError, match=r"not the one that the manifest names: .* bytes where"):
        origin.read("000002.tar", 99_999, 1000)


def test_another_shard_than_the_manifests_is_refused_and_nothing_is_left(
    tmp_path: Path, server: S3Server, shards: list[Shard]
) -> None:
    store, root = store_of(f"{server.url}/photos/train")
    store.pipe_file(f"{root}/000000.tar", b"other")
    with pytest.raises(DataError, match=r"not the one that the manifest names") as caught:
        opened(tmp_path / "set", server, shards).local("000000.tar")
    assert caught.value.where.endswith("photos/train/000000.tar")
    assert list((tmp_path / "set").iterdir()) == []


def test_a_shard_that_is_gone_from_the_store_is_named(tmp_path: Path, server: S3Server, shards: list[Shard]) -> None:
    missing = Shard("000009.tar", "0" * 64, 10)
    with pytest.raises(DataError, match="this is not there"):
        opened(tmp_path / "set", server, [*shards, missing]).local("000009.tar")


def test_a_server_that_vanishes_is_tried_again_then_named_and_the_rest_goes_on_later(
    tmp_path: Path, server: S3Server, shards: list[Shard], caplog: pytest.LogCaptureFixture
) -> None:
    origin = opened(tmp_path / "set", server, shards)
    origin.local("000000.tar")
    server.kill()
    with pytest.raises(HarnessError, match="the store cannot be reached") as caught:
        origin.local("000001.tar")
    assert caught.value.kind == "storage"
    assert sum("tried again" in line for line in caplog.messages) == 2
    assert origin.local("000000.tar") is not None
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["000000.tar"]


def test_what_is_fetched_ahead_is_there_when_it_is_read(tmp_path: Path, server: S3Server, shards: list[Shard]) -> None:
    origin = opened(tmp_path / "set", server, shards)
    origin.ahead(["000002.tar", "000000.tar", "000002.tar"])
    for _ in range(200):
        if len(list((tmp_path / "set").glob("[0-9]*.tar"))) == 2:
            break
        time.sleep(0.05)
    assert sorted(path.name for path in (tmp_path / "set").glob("[0-9]*.tar")) == ["000000.tar", "000002.tar"]
    origin.close()


def test_a_new_order_does_not_fetch_twice_or_with_more_threads_and_ends_when_closed(
    tmp_path: Path, shards: list[Shard], server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = opened(tmp_path / "set", server, shards)
    go, begun, most = threading.Event(), [], []

    def slow(shard: Shard, path: Path) -> None:
        begun.append(shard.name)
        most.append(sum(thread.name == "fetch-ahead" for thread in threading.enumerate()))
        go.wait(20)

    monkeypatch.setattr(origin, "_fetch", slow)
    names = [shard.name for shard in shards]
    for order in (names, names[::-1], names):
        origin.ahead(order)
    for _ in range(200):
        if len(begun) == AHEAD:
            break
        time.sleep(0.02)
    assert sorted(begun) == names[:AHEAD], "each that is being fetched is fetched once"
    origin.close()
    go.set()
    for _ in range(200):
        if not any(thread.name == "fetch-ahead" for thread in threading.enumerate()):
            break
        time.sleep(0.02)
    assert not any(thread.name == "fetch-ahead" for thread in threading.enumerate())
    assert sorted(begun) == names[:AHEAD], "nothing is begun after the end"
    assert max(most) <= AHEAD
    origin.ahead(names[2:])  # another stage of the training may begin
    for _ in range(200):
        if len(begun) == 3:
            break
        time.sleep(0.02)
    assert begun[2:] == names[2:]


def test_nothing_more_is_fetched_ahead_from_a_server_that_is_gone(
    tmp_path: Path, shards: list[Shard], server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = opened(tmp_path / "set", server, shards)
    asked: list[str] = []

    def gone(shard: Shard, path: Path) -> None:
        asked.append(shard.name)
        raise HarnessError("the store cannot be reached", kind="storage")

    monkeypatch.setattr(origins, "AHEAD", 1)
    monkeypatch.setattr(origin, "_fetch", gone)
    origin.ahead(shard.name for shard in shards)
    for _ in range(200):
        if not any(thread.name == "fetch-ahead" for thread in threading.enumerate()):
            break
        time.sleep(0.02)
    assert asked == ["000000.tar"]


@pytest.mark.parametrize("damage", ["changed", "truncated", "a folder", "gone"])
def test_a_damaged_shard_is_fetched_anew_and_a_sound_one_is_left(
    damage: str, tmp_path: Path, server: S3Server, shards: list[Shard], caplog: pytest.LogCaptureFixture
) -> None:
    origin = opened(tmp_path / "set", server, shards, limit=250_000)
    path = origin.local("000001.tar")
    assert path is not None
    if damage == "changed":
        path.write_bytes(b"x" * 100_000)
    else:
        path.unlink()
    if damage == "truncated":
        path.write_bytes(b"x")
    elif damage == "a folder":
        path.mkdir()
    origin.mend(shards[1])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == shards[1].sha256
    assert ("it is damaged" in caplog.text) == (damage != "gone")
    server.kill()
    origin.mend(shards[1])
    (tmp_path / "set" / "000002.tar").write_bytes(b"x")  # beyond the limit: read in place
    origin.mend(shards[2])
    assert sorted(each.name for each in (tmp_path / "set").iterdir()) == ["000001.tar"]
    path.write_bytes(b"x")
    with pytest.raises(HarnessError, match="the store cannot be reached"):
        origin.mend(shards[1])
    assert not path.exists()


def test_a_note_says_where_from_and_one_that_is_damaged_is_named(tmp_path: Path) -> None:
    assert read_note(tmp_path) is None
    note = OriginNote(url="s3://sets/photos/train", limit=10)
    write_note(tmp_path, note)
    assert read_note(tmp_path) == note
    (tmp_path / "origin.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_note(tmp_path)


@pytest.mark.parametrize("url", ["nonsense://here/x", "s4://sets"])
def test_a_url_that_means_nothing_is_named(url: str) -> None:
    with pytest.raises(HarnessError, match="no place that can be reached"):
        store_of(url)


@pytest.mark.parametrize("url", ["s3://sets/photos", "a folder"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_this_machines_disk_refuses_is_no_lost_connection(url: str, code: int, tmp_path: Path) -> None:
    calls: list[int] = []

    def full() -> None:
        calls.append(1)
        raise OSError(code, os.strerror(code))

    with pytest.raises(OSError, match=os.strerror(code)):
        tried(full, str(tmp_path) if url == "a folder" else url)
    assert len(calls) == 1


def test_a_pull_onto_a_full_disk_names_the_shard_here_and_leaves_nothing(
    tmp_path: Path, server: S3Server, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = opened(tmp_path / "set", server, shards)

    def full(_: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(origin._store[0], "get_file", full)
    with pytest.raises(HarnessError, match="File too large") as caught:
        origin.local("000000.tar")
    assert (caught.value.kind, caught.value.where) == ("storage", str(tmp_path / "set" / "000000.tar"))
    assert os.listdir(tmp_path / "set") == []


def test_only_the_waits_here_count_of_a_server_that_is_gone(server: S3Server) -> None:
    store, _ = store_of(server.url)
    assert store.retries == 1
    store.connect()
    config = store.s3.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
