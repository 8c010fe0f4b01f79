"""Prepared sets that are damaged, half there or not there; preparing them again is in test_preparing.py."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.damage import noted_damage
from harness.core.errors import Damaged, DataError
from harness.core.identity import sealed
from harness.data.index import INDEX, Member, SampleRow, write_index
from harness.data.manifest import MANIFEST
from harness.data.shards import ShardSet, open_set
from tests.faults.damage import as_a_folder, flip
from tests.stored_set import BASE, BLURRED, entry, picture, store

CLEAN = {f"k{number}": picture(number, 140 + number, 150) for number in range(7)}


@pytest.fixture
def opened(tmp_path: Path) -> ShardSet:
    samples = [{"key": key, "scene": "", "gt": image, "lq": 255 - image} for key, image in CLEAN.items()]
    return store(BASE, samples, tmp_path)


@pytest.fixture
def blurred(tmp_path: Path) -> ShardSet:
    base = store(BASE, [{"key": key, "scene": "", "gt": image} for key, image in CLEAN.items()], tmp_path)
    return store(
        BLURRED, [{"key": key, "scene": "", "lq": image} for key, image in CLEAN.items()], tmp_path, source=base
    )


def reopen(opened: ShardSet, *, verify: bool = True) -> ShardSet:
    return open_set(opened.manifest.set, opened.folder.parents[2], verify=verify)


def read_all(opened: ShardSet) -> None:
    for row in range(len(opened)):
        for side in ("gt", "lq"):
            np.testing.assert_array_equal(
                opened.image(row, side), CLEAN[f"k{row}"] if side == "gt" else 255 - CLEAN[f"k{row}"]
            )


def describe(opened: ShardSet, **changes: Any) -> None:
    """Writes the manifest again, sealed, with other content."""
    path = opened.folder / MANIFEST
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))


def describe_index(opened: ShardSet, rows: list[SampleRow]) -> None:
    """Another index, and a manifest that agrees with its digest."""
    write_index(opened.folder / INDEX, rows)
    describe(opened, index=entry(opened.folder / INDEX))


def as_a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def test_a_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="does not exist") as caught:
        open_set(BASE, tmp_path)
    assert "run the suite" in caught.value.hint


def test_a_folder_without_a_manifest_is_not_trusted(opened: ShardSet) -> None:
    (opened.folder / MANIFEST).unlink()
    with pytest.raises(Damaged, match="no manifest") as caught:
        reopen(opened)
    assert caught.value.where == str(opened.folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 9}'])
def test_a_damaged_manifest_is_named(content: str, opened: ShardSet) -> None:
    (opened.folder / MANIFEST).write_text(content)
    with pytest.raises(Damaged, match=r"manifest\.json: the manifest is damaged"):
        reopen(opened)


def test_an_edited_manifest_is_noticed_by_its_seal(opened: ShardSet) -> None:
    path = opened.folder / MANIFEST
    path.write_text(path.read_text().replace("made by the tests", "made by others"))
    with pytest.raises(Damaged, match="its content is not what was sealed"):
        reopen(opened)


@pytest.mark.parametrize("damage", [flip, Path.unlink, as_a_folder, as_a_loop, lambda path: os.truncate(path, 0)])
@pytest.mark.parametrize("name", [MANIFEST, INDEX, "000001.tar"])
def test_a_damaged_file_is_named_and_noted(name: str, damage, opened: ShardSet) -> None:
    damage(opened.folder / name)
    with pytest.raises(Damaged) as caught:
        reopen(opened)
    assert caught.value.hint.startswith(("bench run", "run the suite"))
    assert caught.value.where in (str(opened.folder / name), str(opened.folder))
    assert noted_damage(opened.folder).endswith(caught.value.what)


def test_damage_of_the_source_is_that_of_the_source(blurred: ShardSet) -> None:
    assert blurred.source is not None
    flip(blurred.source.folder / "000002.tar")
    with pytest.raises(Damaged, match=r"000002\.tar: changed: sha256") as caught:
        reopen(blurred)
    assert caught.value.where.startswith(str(blurred.source.folder))
    assert noted_damage(blurred.source.folder)
    assert not noted_damage(blurred.folder)
    with pytest.raises(Damaged, match="000002"):
        reopen(blurred, verify=False).image(6, "gt")


def test_a_source_that_is_another_one_now_is_noticed(blurred: ShardSet) -> None:
    assert blurred.source is not None
    describe(blurred.source, licence="another one")
    with pytest.raises(Damaged, match=r"manifest\.json: it was made of other clean images than are there now"):
        reopen(blurred)


@pytest.mark.parametrize("keep", [0, 100, 512 * 3, 40_000])
def test_a_truncated_shard_is_named_when_opened_and_when_read(keep: int, opened: ShardSet) -> None:
    os.truncate(opened.folder / "000001.tar", keep)
    with pytest.raises(Damaged, match=rf"000001\.tar: truncated or changed: {keep} bytes") as caught:
        reopen(opened)
    assert caught.value.hint == "bench run SUITE prepares this set again"
    unverified = reopen(opened, verify=False)
    with pytest.raises(Damaged, match=r"000001\.tar: the (gt|lq) image of sample 'k\d' is damaged, or the shard"):
        read_all(unverified)
    np.testing.assert_array_equal(unverified.image(0, "gt"), CLEAN["k0"])


def test_an_empty_shard_that_was_open_already_is_noticed(opened: ShardSet) -> None:
    opened.image(3, "gt")
    os.truncate(opened.folder / "000001.tar", 0)
    with pytest.raises(Damaged, match=r"000001\.tar: .*'k3'"):
        opened.image(3, "gt")
    assert noted_damage(opened.folder).startswith("000001.tar: the gt image of sample 'k3'")


def test_a_flipped_bit_is_found_in_the_tile_that_is_read(opened: ShardSet) -> None:
    member = opened.index[4].gt
    assert member is not None
    path = opened.folder / "000001.tar"
    content = bytearray(path.read_bytes())
    content[member.offset + member.length - 1000] ^= 16  # in the last of four tiles
    path.write_bytes(content)
    unverified = reopen(opened, verify=False)
    np.testing.assert_array_equal(unverified.image(4, "gt", (0, 0, 128, 128)), CLEAN["k4"][:128, :128])
    with pytest.raises(Damaged, match=r"the gt image of sample 'k4' is damaged.*a tile is damaged"):
        unverified.image(4, "gt")
    assert "k4" in noted_damage(opened.folder)


def test_changed_bytes_are_noticed_though_the_size_agrees(opened: ShardSet) -> None:
    reopen(opened)
    path = opened.folder / "000002.tar"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"000002\.tar: changed: sha256"):
        reopen(opened)


@pytest.mark.parametrize("name", ["000001.tar", INDEX])
def test_a_missing_file_is_named(name: str, opened: ShardSet) -> None:
    (opened.folder / name).unlink()
    with pytest.raises(Damaged, match=rf"{name}: .* missing"):
        reopen(opened)
    with pytest.raises(Damaged, match=name):
        read_all(reopen(opened, verify=False))


def test_a_shard_that_cannot_be_read_now_is_not_damaged(opened: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> bytes:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "pread", refused)
    with pytest.raises(DataError, match="stale file handle") as caught:
        opened.image(0, "gt")
    assert not isinstance(caught.value, Damaged)
    assert not noted_damage(opened.folder)


def test_a_manifest_that_disagrees_is_refused(opened: ShardSet) -> None:
    shards = json.loads((opened.folder / MANIFEST).read_text())["shards"]
    shards[0]["samples"] = 2
    describe(opened, shards=shards)
    with pytest.raises(Damaged, match="do not add up to 7"):
        reopen(opened)
    shards[1]["samples"] = 4
    describe(opened, shards=shards)
    with pytest.raises(Damaged, match=r"index\.parquet: the index and the manifest count other samples"):
        reopen(opened)


def test_an_index_that_disagrees_is_refused_though_its_digest_agrees(opened: ShardSet) -> None:
    rows = list(opened.index)

    def moved(row: SampleRow, **changes: Any) -> SampleRow:
        assert row.gt is not None
        return row._replace(gt=row.gt._replace(**changes))

    def resized(row: SampleRow, **sides: Any) -> SampleRow:
        lq = None if row.lq is None else row.lq._replace(**sides)
        return moved(row, **sides)._replace(lq=lq)

    gt: list[Member] = [row.gt for row in rows if row.gt is not None]
    others = {
        "count other samples": rows[:-1],
        "not in order": [*rows[1:4], rows[0], *rows[4:]],
        "beyond the end of a shard": [*rows[:-1], moved(rows[-1], length=2**31)],
        "beyond the end of": [*rows[:2], resized(rows[2], height=0), *rows[3:]],
        "the two images of sample 'k2' differ in size": [*rows[:2], moved(rows[2], height=9), *rows[3:]],
        "sample 'k0', gt: .* no such member": [moved(rows[0], offset=gt[0].offset + 512), *rows[1:]],
        "sample 'k3', gt: .* no such member": [*rows[:3], moved(rows[3], length=gt[3].length + 1), *rows[4:]],
        r"sample 'k0', gt: .* has 'k1\.gt\.tif'": [rows[0]._replace(gt=gt[1], lq=None), *rows[1:]],
        r"sample 'k5', lq: .* has 'k4\.lq\.tif'": [*rows[:5], rows[5]._replace(gt=None, lq=rows[4].lq), rows[6]],
    }
    for what, wrong in others.items():
        describe_index(opened, wrong)
        with pytest.raises(Damaged, match=what):
            reopen(opened)
    describe_index(opened, [rows[0], resized(rows[1], width=151), *rows[2:]])
    with pytest.raises(Damaged, match=r"000000\.tar: the gt image of sample 'k1' .* header is that of another image"):
        read_all(reopen(opened))
    describe_index(opened, rows)
    read_all(reopen(opened))


def test_a_set_of_another_converter_is_refused(opened: ShardSet) -> None:
    describe(opened, converter=1)
    with pytest.raises(Damaged, match=r"prepared by converter 1, this is converter 2"):
        reopen(opened)


def test_a_set_in_the_wrong_folder_is_refused(opened: ShardSet, tmp_path: Path) -> None:
    other = BASE.model_copy(update={"split": "test"})
    os.rename(opened.folder, other.folder(tmp_path))
    with pytest.raises(Damaged, match=r"the manifest is of another set than arrays\.[0-9a-f]{12}/test"):
        open_set(other, tmp_path)


def test_a_folder_that_cannot_be_written_is_read_all_the_same(opened: ShardSet) -> None:
    for path in opened.folder.glob(".verified*"):
        path.unlink()
    opened.folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        read_all(reopen(opened))
    finally:
        opened.folder.chmod(stat.S_IRWXU)
