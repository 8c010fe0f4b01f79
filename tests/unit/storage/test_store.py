"""Places on stores: which URLs are any, what stands for them on a machine, clear words where they cannot be used."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import s3fs

from harness.core.beat import beats
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.planning.places import said_from
from harness.storage import reach
from harness.storage.copies import copy_at, copy_of, folder_of, shown_place, url_of
from harness.storage.plain import bring_file, bring_files, send_file, send_new
from harness.storage.reach import done, patient, tried
from harness.storage.store import Store, parsed
from tests.s3_server import BUCKET, S3Server
from tests.unit.storage.conftest import Machines


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("s3://bucket/run", "s3://bucket/run"),
        ("s3://bucket//run/", "s3://bucket/run"),
        ("S3://bucket/a b", "s3://bucket/a b"),
        ("memory://x", "memory://x"),
    ],
)
def test_one_folder_has_one_url(url: str, plain: str) -> None:
    assert parsed(url) == plain


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://b/../c", "cannot be the URL of a folder"),
        ("s3://b/c?x=1", "cannot be the URL of a folder"),
        ("s3://b/\x07", "cannot be the URL of a folder"),
        ("file:///tmp/x", "name it without file://"),
        ("nonsense://x", "no place that can be reached"),
        ("bucket/run", "is no URL"),
    ],
)
def test_what_is_no_such_url_is_named(url: str, said: str) -> None:
    with pytest.raises(HarnessError) as caught:
        parsed(url)
    assert said in str(caught.value)


@pytest.mark.parametrize(("file", "where"), [(None, "memory://b/x"), ("/tmp/y", "/tmp/y")])
def test_what_this_machine_refuses_on_the_way_names_the_file_or_the_url(file: str | None, where: str) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", file)

    with pytest.raises(HarnessError, match="the disk is full") as caught:
        done(full, "memory://b/x")
    assert (caught.value.where, caught.value.kind) == (where, "storage")


def test_a_machine_has_one_working_copy_of_a_url_and_knows_it_by_any_path_in_it(machines: Machines) -> None:
    copy = machines("one")
    assert copy_of(machines.url + "/").root == copy.root
    assert folder_of(machines.url) == copy.files
    assert copy_at(copy.files / "cells" / "x") == copy
    assert url_of(copy.files / "data") == f"{machines.url}/data"
    assert shown_place(copy.files) == machines.url
    assert machines("two").root != copy.root


def test_plain_folders_have_none(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "files"):
        folder.mkdir(exist_ok=True)
        assert copy_at(folder) is None
        assert shown_place(folder) == str(folder)
    (tmp_path / "files" / "a.json").write_text("{}")
    assert send_file(tmp_path / "files" / "a.json") is None
    assert bring_file(tmp_path / "files" / "a.json")


def test_job_files_say_the_data_of_another_store_by_its_url(machines: Machines, tmp_path: Path) -> None:
    copy = machines("one")
    other = copy_of(f"{machines.url}-data")
    assert said_from(Layout(copy.files, other.files), other.files) == other.url
    assert said_from(Layout(copy.files, copy.files / "data"), copy.files / "data") == "../data"
    assert said_from(Layout(tmp_path / "out", other.files), other.files) == other.url


def test_no_bucket_no_credentials_and_no_library_are_told_apart(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Store(server.url).check(writes=True)
    with pytest.raises(HarnessError, match="there is no such bucket") as caught:
        Store("s3://other/x").check(writes=False)
    assert "make the bucket other first" in caught.value.hint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(HarnessError, match="there are no credentials for this store") as caught:
        Store(server.url).check(writes=False)
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    assert caught.value.kind == "storage"

    def absent(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(HarnessError, match="library for this kind of store is not installed") as caught:
        Store(f"s3://{BUCKET}/y").check(writes=False)
    assert "priorbench[s3]" in caught.value.hint


def test_in_mid_run_a_store_is_waited_for_longer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert sum(reach.LONG_WAITS) > 180
    monkeypatch.setattr(reach, "WAITS", (0.0,))
    monkeypatch.setattr(reach, "LONG_WAITS", (0.0,) * 5)
    calls: list[int] = []

    def back_at_the_fifth() -> int:
        calls.append(1)
        if len(calls) < 5:
            raise ConnectionError("refused")
        return 7

    with caplog.at_level(logging.WARNING), patient():
        assert tried(back_at_the_fifth, "s3://b/k") == 7
    assert sum("tried again" in message for message in caplog.messages) == 4
    calls.clear()
    with pytest.raises(HarnessError, match="cannot be reached"):
        tried(back_at_the_fifth, "s3://b/k")


def test_plain_files_come_and_go_by_name(machines: Machines) -> None:
    one, other = machines("one"), machines("other")
    (one.files / "suites").mkdir()
    for name in ("a.json", "b.json"):
        (one.files / "suites" / name).write_text(name)
        assert send_file(one.files / "suites" / name) == f"{machines.url}/suites/{name}"
    bring_files(other.files / "suites", lambda name: name.endswith(".json"))
    assert sorted(path.name for path in (other.files / "suites").iterdir()) == ["a.json", "b.json"]
    (one.files / "suites" / "a.json").unlink()
    send_file(one.files / "suites" / "a.json")
    (one.files / "suites" / "b.json").write_text("other")
    send_file(one.files / "suites" / "b.json")
    bring_files(other.files / "suites", lambda name: name.endswith(".json"))
    assert [path.read_text() for path in (other.files / "suites").iterdir()] == ["other"]
    (other.files / "suites" / "c.json").write_text("new")
    send_new(other.files / "suites")
    assert bring_file(one.files / "suites" / "c.json")
    assert not bring_file(one.files / "suites" / "none.json")


def test_a_large_object_gives_signs_of_life_on_its_way(server: S3Server, tmp_path: Path) -> None:
    place, file = Store(server.url), tmp_path / "weights"
    file.write_bytes(bytes(1 << 20))
    before = beats()
    place.put("weights", file)
    sent = beats()
    assert sent > before
    assert place.get("weights", tmp_path / "got")
    assert beats() - sent > 8, "one for each piece that comes"
