"""Prepared sets are pushed to a store and pulled from it; what a shard holds is read through."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.core.damage import noted_damage
from harness.core.errors import Damaged, DataError, HarnessError
from harness.core.identity import sealed
from harness.core.registry import Entry, Registry
from harness.data.exchange import fetch_all, is_pulled, pull, push, splits_here
from harness.data.prepare import prepare_set
from harness.data.shards import ShardSet, open_set
from harness.parts.catalogue import BUILT_IN
from harness.planning.disk import read_manifest
from harness.storage import reach
from tests.s3_server import S3Server
from tests.small_set import blobs
from tests.stored_set import BASE, BLURRED, picture, store


class Many:
    """130 small pictures, for three shards."""

    traits = DatasetTraits(licence="made by the tests")

    def splits(self) -> Sequence[str]:
        return ("train",)

    def fingerprint(self) -> str:
        return "many"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(f"{number:03d}", f"{number:03d}") for number in range(130)]

    def images(self, split: str) -> Iterator[SourceImage]:
        for number, (key, scene) in enumerate(self.keys(split)):
            yield SourceImage(key, scene, blobs(number, 20, 24))


@pytest.fixture
def here(tmp_path: Path) -> ShardSet:
    entries = [Entry("dataset", "many", f"{Path(__file__).resolve()}:Many")]
    stored = PreparedSet(dataset=PartRef(name="many", digest="many"), split="train")
    return prepare_set(stored, Registry(BUILT_IN).extended(entries), tmp_path / "here")


def pixels(opened: ShardSet) -> list[np.ndarray]:
    return [opened.image(row, "gt") for row in range(len(opened))]


def test_a_pushed_set_is_pulled_shard_by_shard_and_has_the_same_pixels(
    tmp_path: Path, here: ShardSet, server: S3Server
) -> None:
    copied = push(here.folder, server.url)
    assert copied == here.manifest.bytes + here.manifest.index.bytes
    assert push(here.folder, server.url) == 0
    (folder,) = pull(f"{server.url}/{here.folder.parent.name}", tmp_path / "there")
    assert is_pulled(folder)
    assert not list(folder.glob("*.tar"))
    there = open_set(here.manifest.set, tmp_path / "there")
    assert there.manifest_sha256 == here.manifest_sha256
    assert np.array_equal(there.image(0, "gt"), here.image(0, "gt"))
    assert [path.name for path in folder.glob("*.tar")] == ["000000.tar"]
    assert all(np.array_equal(*both) for both in zip(pixels(there), pixels(here), strict=True))
    assert len(list(folder.glob("*.tar"))) == 3


def test_beyond_its_limit_a_set_is_read_in_place(tmp_path: Path, here: ShardSet, server: S3Server) -> None:
    push(here.folder, server.url)
    limit = here.manifest.shards[0].bytes
    (folder,) = pull(f"{server.url}/{here.folder.parent.name}", tmp_path / "there", limit=limit)
    there = open_set(here.manifest.set, tmp_path / "there")
    assert all(np.array_equal(*both) for both in zip(pixels(there), pixels(here), strict=True))
    assert [path.name for path in folder.glob("*.tar")] == ["000000.tar"]
    assert fetch_all(folder) == 1


def test_a_push_that_was_cut_off_goes_on_and_the_manifest_comes_last(
    tmp_path: Path, here: ShardSet, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = reach.tried
    calls: list[str] = []

    def cut_off(action: object, url: str) -> object:
        calls.append(url)
        if url.endswith("000001.tar") and calls.count(url) == 2:  # its size was asked for before
            raise KeyboardInterrupt
        return tried(action, url)  # type: ignore[arg-type]

    monkeypatch.setattr("harness.storage.reach.tried", cut_off)
    with pytest.raises(KeyboardInterrupt):
        push(here.folder, server.url)
    assert [name.rpartition("/")[2] for name in server.objects()] == [".push.json", "000000.tar"]
    with pytest.raises(DataError, match="no prepared set lies there"):
        pull(f"{server.url}/{here.folder.parent.name}", tmp_path / "there")
    monkeypatch.setattr("harness.storage.reach.tried", tried)
    rest = here.manifest.bytes + here.manifest.index.bytes - here.manifest.shards[0].bytes
    assert push(here.folder, server.url) == rest
    names = [name.rpartition("/")[2] for name in server.objects()]
    assert names == ["000000.tar", "000001.tar", "000002.tar", "index.parquet", "manifest.json"]


@pytest.mark.parametrize("left", ["", "of another push"])
def test_files_of_the_same_size_that_another_push_left_are_not_taken_for_the_sets(
    left: str, tmp_path: Path, here: ShardSet
) -> None:
    place = tmp_path / "store" / here.folder.parent.name / here.folder.name
    place.mkdir(parents=True)
    (place / "000001.tar").write_bytes(b"x" * here.manifest.shards[1].bytes)
    if left:
        (place / ".push.json").write_text("0" * 64)
    assert push(here.folder, str(tmp_path / "store")) == here.manifest.bytes + here.manifest.index.bytes
    (folder,) = pull(str(tmp_path / "store"), tmp_path / "there")
    assert fetch_all(folder) == 3
    assert not (place / ".push.json").exists()


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("shards", "../../../000000.tar"),
        ("shards", "/tmp/000000.tar"),
        ("shards", "manifest.json"),
        ("shards", "origin.json"),
        ("index", "../index.parquet"),
        ("index", "origin.json"),
    ],
)
def test_a_manifest_that_names_other_files_than_its_own_is_refused(
    part: str, name: str, tmp_path: Path, here: ShardSet
) -> None:
    path = here.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    (manifest["shards"][1] if part == "shards" else manifest["index"])["name"] = name
    path.write_text(json.dumps(sealed(manifest)))
    for action in (
        lambda: pull(str(here.folder), tmp_path / "there"),
        lambda: push(here.folder, str(tmp_path / "store")),
        lambda: open_set(here.manifest.set, tmp_path / "here"),
    ):
        with pytest.raises(DataError, match=rf"manifest\.json: the manifest is damaged \({part}"):
            action()
    assert not (tmp_path / "there").exists()
    assert not (tmp_path / "store").exists()
    found = read_manifest(here.folder, tmp_path / "here")
    assert found.damage is not None


def test_a_set_that_was_pulled_from_a_relative_folder_is_read_from_any(
    tmp_path: Path, here: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(here.folder, str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    pull("store", tmp_path / "there")
    monkeypatch.chdir("/")
    there = open_set(here.manifest.set, tmp_path / "there")
    assert np.array_equal(there.image(129, "gt"), here.image(129, "gt"))


def test_an_index_that_is_not_the_manifests_is_not_pulled(tmp_path: Path, here: ShardSet) -> None:
    push(here.folder, str(tmp_path / "store"))
    place = tmp_path / "store" / here.folder.parent.name / here.folder.name
    (place / "index.parquet").write_bytes(b"x" * here.manifest.index.bytes)
    with pytest.raises(DataError, match=r"index\.parquet: this index is not the one that the manifest names"):
        pull(str(tmp_path / "store"), tmp_path / "there")
    assert not here.manifest.set.folder(tmp_path / "there").exists()


PLACES = ["an empty folder", "a file", "the set a file", "sets a file", "the manifest a folder"]


@pytest.mark.parametrize("made", PLACES)
def test_what_lies_in_the_place_of_a_pulled_set_is_named_in_one_line(made: str, tmp_path: Path, here: ShardSet) -> None:
    folder = here.manifest.set.folder(tmp_path / "there")
    wrong = {"the set a file": folder.parent, "sets a file": folder.parents[1]}
    place = wrong.get(made, folder / "manifest.json" if "manifest" in made else folder)
    place.parent.mkdir(parents=True)
    if "folder" in made:
        place.mkdir()
    else:
        place.touch()
    with pytest.raises(DataError, match=r"cannot be read|no folder") as caught:
        pull(str(here.folder), tmp_path / "there")
    assert caught.value.where == str(folder if "folder" in made else place)
    assert caught.value.hint == "remove it, or pull into another data folder"


def test_a_set_of_another_content_is_never_written_over(tmp_path: Path, here: ShardSet, server: S3Server) -> None:
    push(here.folder, server.url)
    store, root = reach.store_of(server.url)
    place = f"{root}/{here.folder.parent.name}/{here.folder.name}/manifest.json"
    store.pipe_file(place, (here.folder / "manifest.json").read_bytes().replace(b'"licence"', b'"licence" '))
    with pytest.raises(DataError, match="another set of this name lies there"):
        push(here.folder, server.url)
    with pytest.raises(DataError, match="already, with another content"):
        pull(f"{server.url}/{here.folder.parent.name}", tmp_path / "here")


def test_a_name_that_no_set_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such prepared set"):
        splits_here(tmp_path, "photos.123")
    with pytest.raises(DataError, match="no prepared set lies there"):
        pull(str(tmp_path), tmp_path / "there")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, Path.unlink])
@pytest.mark.parametrize("name", ["000001.tar", "index.parquet"])
def test_a_damaged_file_here_is_not_pushed(name: str, damage: Any, tmp_path: Path, here: ShardSet) -> None:
    damage(here.folder / name)
    with pytest.raises(Damaged) as caught:
        push(here.folder, str(tmp_path / "store"))
    assert caught.value.where == str(here.folder / name)
    assert not (tmp_path / "store").exists()
    assert noted_damage(here.folder).startswith(name)


@pytest.mark.parametrize("name", ["000001.tar", "index.parquet", "manifest.json"])
def test_a_damaged_store_is_repaired_by_pushing_with_verify(name: str, tmp_path: Path, here: ShardSet) -> None:
    push(here.folder, str(tmp_path / "store"))
    place = tmp_path / "store" / here.folder.parent.name / here.folder.name
    (place / name).write_bytes(b"x" * (here.folder / name).stat().st_size)
    copied = push(here.folder, str(tmp_path / "store"), verify=True)
    assert copied == (0 if name == "manifest.json" else (here.folder / name).stat().st_size)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {
        path.name: path.read_bytes() for path in here.folder.iterdir() if path.name in os.listdir(place)
    }
    assert len(list(place.iterdir())) == 5
    assert push(here.folder, str(tmp_path / "store"), verify=True) == 0


def test_a_damaged_object_is_replaced_with_verify(here: ShardSet, server: S3Server) -> None:
    push(here.folder, server.url)
    store_, root = reach.store_of(server.url)
    path = f"{root}/{here.folder.parent.name}/{here.folder.name}/000001.tar"
    store_.pipe_file(path, b"x" * here.manifest.shards[1].bytes)
    assert push(here.folder, server.url) == 0
    assert push(here.folder, server.url, verify=True) == here.manifest.shards[1].bytes
    assert store_.cat_file(path) == (here.folder / "000001.tar").read_bytes()


@pytest.mark.parametrize(
    ("code", "what"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EFBIG, "File too large")],
)
def test_a_full_disk_of_a_local_store_is_told_at_once_and_leaves_nothing(
    code: int, what: str, tmp_path: Path, here: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(HarnessError, match=what) as caught:
        push(here.folder, str(tmp_path / "store"))
    place = tmp_path / "store" / here.folder.parent.name / here.folder.name
    assert (caught.value.kind, caught.value.where) == ("storage", str(place / "000000.tar"))
    assert os.listdir(place) == [".push.json"]


def test_the_option_that_chooses_the_place_is_named(
    tmp_path: Path, here: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    push(here.folder, str(tmp_path / "store"))

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no", "there")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(HarnessError, match="cannot write here") as pulled:
        pull(str(tmp_path / "store"), tmp_path / "there")
    with pytest.raises(HarnessError, match="cannot write here") as pushed:
        push(here.folder, str(tmp_path / "other"))
    assert [each.value.hint for each in (pulled, pushed)] == [
        "choose a writable folder with --data",
        "choose a writable folder with --to",
    ]


@pytest.mark.parametrize("gone", ["the set", "a shard", "the sets' folder"])
def test_a_clean_set_that_is_gone_here_is_named_and_nothing_is_pushed(gone: str, tmp_path: Path) -> None:
    base = store(BASE, [{"key": "a", "scene": "", "gt": picture(0, 20, 30)}], tmp_path / "here")
    soft = store(BLURRED, [{"key": "a", "scene": "", "lq": picture(1, 20, 30)}], tmp_path / "here", source=base)
    lost = {"the set": base.folder, "a shard": base.folder / "000000.tar", "the sets' folder": base.folder.parent}[gone]
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(Damaged) as caught:
        push(soft.folder, str(tmp_path / "store"))
    assert caught.value.where == str(lost if gone == "a shard" else base.folder)
    assert not (tmp_path / "store").exists()


def test_a_damaged_note_of_the_place_is_mended_by_pulling_again(tmp_path: Path, here: ShardSet) -> None:
    push(here.folder, str(tmp_path / "store"))
    (folder,) = pull(str(tmp_path / "store"), tmp_path / "there")
    (folder / "origin.json").write_text("[" * 100_000)
    with pytest.raises(Damaged, match="note of where the shards lie") as caught:
        open_set(here.manifest.set, tmp_path / "there").image(0, "gt")
    assert caught.value.hint == f"pull the set again: bench data pull URL --data {tmp_path / 'there'}"
    pull(str(tmp_path / "store"), tmp_path / "there")
    assert not noted_damage(folder)
    assert np.array_equal(open_set(here.manifest.set, tmp_path / "there").image(0, "gt"), here.image(0, "gt"))


def test_where_nothing_can_be_written_a_pulled_set_is_read_in_place(
    tmp_path: Path, here: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(here.folder, str(tmp_path / "store"))
    (folder,) = pull(str(tmp_path / "store"), tmp_path / "there")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    there = open_set(here.manifest.set, tmp_path / "there")
    assert all(np.array_equal(*both) for both in zip(pixels(there), pixels(here), strict=True))
    assert not list(folder.glob("*.tar"))


def test_other_files_beside_the_sets_of_a_store_are_passed_over(tmp_path: Path, here: ShardSet) -> None:
    push(here.folder, str(tmp_path / "store"))
    (tmp_path / "store" / "a.txt").write_text("ours")
    (tmp_path / "store" / here.folder.parent.name / "b.txt").write_text("ours")
    assert len(pull(str(tmp_path / "store"), tmp_path / "there")) == 1
