"""Prepared sets that other runs use at the same time, or that cannot be read for a while."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.damage import held, noted_damage
from harness.core.errors import DataError
from harness.data import prepare
from harness.data.manifest import MANIFEST
from harness.data.prepare import prepare_set
from harness.data.shards import ShardSet, open_set
from tests.faults.damage import flip
from tests.small_set import prepared, registry


@pytest.fixture
def opened(tmp_path: Path) -> ShardSet:
    return prepare_set(prepared(task="noisy"), registry(), tmp_path)


def reopen(opened: ShardSet, *, verify: bool = True) -> ShardSet:
    return open_set(opened.manifest.set, opened.folder.parents[2], verify=verify)


REFUSALS = [errno.EACCES, errno.ESTALE, errno.EMFILE, errno.EIO]


@pytest.mark.parametrize("code", REFUSALS)
def test_a_set_that_cannot_be_read_now_is_neither_noted_nor_made_again(
    code: int, opened: ShardSet, monkeypatch
) -> None:
    """Other readers of the shared folder may read it, and so may this one later."""

    def refuse(path: Path) -> str:
        raise OSError(code, os.strerror(code))

    before = {path: path.stat().st_ino for path in opened.folder.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr("harness.data.verified.known_sha256", refuse)
        for use in (reopen, lambda each: prepare_set(prepared(task="noisy"), registry(), each.folder.parents[2])):
            with pytest.raises(DataError, match="cannot be read") as caught:
                use(opened)
            assert "see that it can be read" in caught.value.hint
    assert {path: path.stat().st_ino for path in opened.folder.iterdir()} == before
    reopen(opened)


def test_an_unverified_look_leaves_no_note(opened: ShardSet) -> None:
    (opened.folder / MANIFEST).write_text("{")
    with pytest.raises(DataError, match="manifest is damaged"):
        reopen(opened, verify=False)
    assert noted_damage(opened.folder) == ""


def test_a_set_that_another_run_mended_meanwhile_is_left_to_its_readers(opened: ShardSet, monkeypatch) -> None:
    """The verdict is from before the other run's work; the set is looked at again by who holds it."""
    data, path = opened.folder.parents[2], opened.folder / "000000.tar"
    whole = path.read_bytes()
    flip(path)

    @contextmanager
    def mended(folder: Path) -> Iterator[None]:
        path.write_bytes(whole)
        with held(folder):
            yield

    before = path.parent.stat().st_ino
    monkeypatch.setattr(prepare, "held", mended)
    monkeypatch.setattr(prepare, "_write", lambda *given: pytest.fail("it is prepared again"))
    again = prepare_set(prepared(task="noisy"), registry(), data)
    assert again.folder.stat().st_ino == before
    assert [each.name for each in again.folder.parent.iterdir()] == ["train"]
    assert noted_damage(again.folder) == ""


def test_two_runs_prepare_a_set_once(tmp_path: Path, monkeypatch) -> None:
    written, write = [], prepare._write

    def slow(*given) -> None:
        written.append(1)
        time.sleep(0.2)
        write(*given)

    monkeypatch.setattr(prepare, "_write", slow)
    with ThreadPoolExecutor(2) as pool:
        sets = list(pool.map(lambda _: prepare_set(prepared(task="noisy"), registry(), tmp_path), range(2)))
    assert written == [1]
    assert sets[0].manifest_sha256 == sets[1].manifest_sha256
