"""Prepared sets that are damaged, half written or not there."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from harness.core.damage import noted_damage
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256, sealed
from harness.core.paths import write_json
from harness.data.index import INDEX
from harness.data.prepare import prepare_set
from harness.data.shards import MANIFEST, ShardSet, open_set
from harness.training.data import TrainLoader
from tests.small_set import prepared, registry


@pytest.fixture
def opened(tmp_path: Path) -> ShardSet:
    return prepare_set(prepared(), registry(), tmp_path, shard_samples=20)


def reopen(opened: ShardSet, *, verify: bool = True) -> ShardSet:
    return open_set(opened.manifest.set, opened.folder.parents[1], verify=verify)


def rewrite(opened: ShardSet, shard: int, drop: str = "", add: str = "") -> None:
    """Writes a shard again without the members that end in `drop`, or with one more, and makes the manifest agree."""
    path = Path(opened.urls[shard])
    with tarfile.open(path) as source:
        members = [(member, source.extractfile(member).read()) for member in source.getmembers()]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as target:
        for number, (member, content) in enumerate(members):
            if number >= 3 or not drop or not member.name.endswith(drop):
                target.addfile(member, io.BytesIO(content))
        if add:
            target.addfile(tarfile.TarInfo(add), io.BytesIO())
    edit(opened, shard, sha256=file_sha256(path), bytes=path.stat().st_size)


def edit(opened: ShardSet, shard: int, **changes: object) -> None:
    path = opened.folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["shards"][shard].update(changes)
    path.write_text(json.dumps(sealed(manifest)))


def test_a_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        open_set(prepared(), tmp_path)
    assert "run the suite" in caught.value.hint


def test_a_folder_without_a_manifest_is_not_trusted(opened: ShardSet) -> None:
    (opened.folder / MANIFEST).unlink()
    with pytest.raises(DataError, match="no manifest") as caught:
        reopen(opened)
    assert caught.value.where == str(opened.folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 9}'])
def test_a_damaged_manifest_is_named(content: str, opened: ShardSet) -> None:
    (opened.folder / MANIFEST).write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json: the manifest is damaged"):
        reopen(opened)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def as_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("damage", [flip, Path.unlink, as_a_folder, as_a_loop, lambda path: os.truncate(path, 0)])
@pytest.mark.parametrize("name", [MANIFEST, INDEX, "000001.tar"])
def test_a_damaged_file_is_named_noted_and_the_set_prepared_again(name: str, damage, opened: ShardSet) -> None:
    digests = {path.name: file_sha256(path) for path in opened.folder.iterdir()}
    damage(opened.folder / name)
    with pytest.raises(DataError) as caught:
        reopen(opened)
    assert (caught.value.kind, caught.value.hint.startswith(("bench run", "run the suite"))) == ("data", True)
    assert caught.value.where in (str(opened.folder / name), str(opened.folder))
    assert noted_damage(opened.folder).endswith(caught.value.what)
    again = prepare_set(prepared(), registry(), opened.folder.parents[1], shard_samples=20)
    assert {path.name: file_sha256(path) for path in again.folder.iterdir()} == digests
    assert again.manifest_sha256 == opened.manifest_sha256
    assert not list(again.folder.parent.glob(".*"))


def test_a_damaged_set_is_back_in_its_place_when_it_cannot_be_prepared(opened: ShardSet, monkeypatch) -> None:
    flip(opened.folder / INDEX)
    monkeypatch.setattr("harness.data.prepare.cut", lambda *given: iter(()))
    names = sorted(path.name for path in opened.folder.iterdir())
    with pytest.raises(DataError, match="has no images"):
        prepare_set(prepared(), registry(), opened.folder.parents[1])
    assert sorted(path.name for path in opened.folder.iterdir()) == sorted([*names, "damaged.txt"])


def test_a_manifest_of_an_earlier_release_has_the_same_digest_when_its_set_is_prepared_again(opened: ShardSet) -> None:
    path = opened.folder / MANIFEST
    whole = json.loads(path.read_text())
    assert whole.pop("sealed").startswith("sha256:")
    write_json(path, whole)
    before = file_sha256(path)
    assert reopen(opened).manifest_sha256 == before  # as records of earlier releases name it
    flip(opened.folder / INDEX)
    again = prepare_set(prepared(), registry(), opened.folder.parents[1], shard_samples=20)
    assert "sealed" in path.read_text()
    assert again.manifest_sha256 == before


@pytest.mark.parametrize("keep", [0, 100, 512 * 3, 40_000])
def test_a_truncated_shard_is_named_when_opened_and_when_read(keep: int, opened: ShardSet) -> None:
    os.truncate(opened.urls[1], keep)
    with pytest.raises(DataError, match=rf"000001\.tar: truncated or changed: {keep} bytes") as caught:
        reopen(opened)
    assert caught.value.hint == "bench run SUITE prepares this set again"
    with pytest.raises(DataError, match=r"000001\.tar"):
        list(reopen(opened, verify=False).samples())
    loader = TrainLoader(reopen(opened, verify=False), None, batch=4, seed=0, augment="none")
    with pytest.raises(DataError, match=r"000001\.tar"):
        list(islice(loader, 20))


def test_a_shard_cut_between_two_samples_is_noticed(opened: ShardSet) -> None:
    with tarfile.open(opened.urls[0]) as shard:
        fourth = shard.getmembers()[9].offset
    os.truncate(opened.urls[0], fourth)
    with pytest.raises(DataError, match=r"000000\.tar: this shard ends before sample 'a\.1-y00032-x00000'"):
        list(reopen(opened, verify=False).samples())


def test_changed_bytes_are_noticed_though_size_and_cache_agree(opened: ShardSet) -> None:
    reopen(opened)
    path = Path(opened.urls[2])
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"000002\.tar: changed: sha256"):
        reopen(opened)


@pytest.mark.parametrize("name", ["000001.tar", INDEX])
def test_a_missing_file_is_named(name: str, opened: ShardSet) -> None:
    (opened.folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: .* missing"):
        reopen(opened)
    with pytest.raises(DataError, match=name):
        list(reopen(opened, verify=False).samples())


def test_a_manifest_that_disagrees_is_refused(opened: ShardSet) -> None:
    edit(opened, 0, samples=19)
    with pytest.raises(DataError, match="do not add up to 54"):
        reopen(opened)
    edit(opened, 1, samples=21)
    with pytest.raises(DataError, match=r"index\.parquet: the index and the manifest count other samples"):
        reopen(opened)


def test_a_set_of_another_converter_is_refused(opened: ShardSet) -> None:
    path = opened.folder / MANIFEST
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | {"converter": 99})))
    with pytest.raises(DataError, match=r"prepared by converter 99"):
        reopen(opened)


def test_a_set_in_the_wrong_folder_is_refused(opened: ShardSet, tmp_path: Path) -> None:
    other = prepared(task="noisy")
    other.folder(tmp_path).parent.mkdir()
    os.rename(opened.folder, other.folder(tmp_path))
    with pytest.raises(DataError, match=r"the manifest is of another set than small\.noisy"):
        open_set(other, tmp_path)


@pytest.mark.parametrize("drop", [".lq.npy", ".gt.npy", ".json"])
def test_an_orphan_is_an_error_even_when_digests_agree(drop: str, opened: ShardSet) -> None:
    rewrite(opened, 0, drop=drop)
    with pytest.raises(DataError, match=rf"sample 'a\.1-y00000-x00000' is not a pair: {drop[1:]}"):
        list(reopen(opened).samples())
    loader = TrainLoader(reopen(opened), None, batch=27, seed=0, augment="none")
    with pytest.raises(DataError, match="is not a pair"):
        list(islice(loader, 2))


def test_a_sample_that_the_index_does_not_have_is_an_error(opened: ShardSet) -> None:
    rewrite(opened, 2, add="stranger.lq.npy")
    with pytest.raises(DataError, match=r"000002\.tar: sample 'stranger' is not a pair"):
        list(reopen(opened).samples())


KILLED = """
import sys, time
from pathlib import Path
from harness.data import write
from harness.data.prepare import prepare_set
from tests.small_set import prepared, registry
add = write.ShardWriter.add
def slow(self, *args, **kwargs):
    add(self, *args, **kwargs)
    print("added", flush=True)
    time.sleep(0.02)
write.ShardWriter.add = slow
prepare_set(prepared(), registry(), Path(sys.argv[1]), shard_samples=20)
"""


def test_a_killed_preparation_leaves_nothing_that_is_trusted(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for _ in islice(child.stdout, 30):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    folder = prepared().folder(tmp_path / "killed")
    assert not folder.exists()
    assert list(folder.parent.glob(".train.*.tmp/000001.tar")), "it was killed in the middle"
    again = prepare_set(prepared(), registry(), tmp_path / "killed", shard_samples=20)
    whole = prepare_set(prepared(), registry(), tmp_path / "whole", shard_samples=20)
    assert again.manifest_sha256 == whole.manifest_sha256
    assert [file_sha256(url) for url in again.urls] == [file_sha256(url) for url in whole.urls]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(HarnessError, match="the disk is full") as caught:
        prepare_set(prepared(), registry(), small_disk)
    assert caught.value.kind == "storage"
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
