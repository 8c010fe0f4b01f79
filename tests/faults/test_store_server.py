"""Sets whose shards come from an S3 server: damage is mended from it, and a training outlives its absence."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.core.damage import noted_damage
from harness.core.errors import Damaged, DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.data import origin as origins
from harness.data.exchange import fetch_all, pull, push
from harness.data.origin import Origin
from harness.data.shards import ShardSet, open_set
from harness.jobs.run import run_job_file
from harness.planning.disk import read_manifest
from harness.records import store as records
from tests.faults.damage import as_a_folder, flip
from tests.s3_server import S3Server
from tests.small_world import RECIPE, SmallWorld, small_cell
from tests.stored_set import BASE, picture, store

CLEAN = {f"k{number}": picture(number, 140, 150) for number in range(6)}


@pytest.fixture
def pulled(tmp_path: Path) -> ShardSet:
    """Two shards, both here, and in a folder that stands for the server."""
    return pulled_from(str(tmp_path / "store"), tmp_path)


def pulled_from(url: str, tmp_path: Path) -> ShardSet:
    made = store(BASE, [{"key": key, "scene": "", "gt": image} for key, image in CLEAN.items()], tmp_path / "made")
    push(made.folder, url)
    (folder,) = pull(url, tmp_path / "data")
    assert fetch_all(folder) == 2
    return open_set(BASE, tmp_path / "data")


def read_all(opened: ShardSet) -> None:
    for row, image in enumerate(CLEAN.values()):
        np.testing.assert_array_equal(opened.image(row, "gt"), image)


DAMAGES = [flip, as_a_folder, Path.unlink, lambda path: os.truncate(path, 700)]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["000001.tar", "index.parquet"])
def test_a_damaged_file_of_a_pulled_set_is_fetched_anew_when_it_is_opened(
    name: str, damage: Callable[[Path], None], pulled: ShardSet, tmp_path: Path
) -> None:
    before = file_sha256(pulled.folder / name)
    damage(pulled.folder / name)
    read_all(open_set(BASE, tmp_path / "data"))
    assert file_sha256(pulled.folder / name) == before
    assert not noted_damage(pulled.folder)
    assert read_manifest(pulled.folder, tmp_path / "data").damage is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_shard_that_is_damaged_while_it_is_read_is_fetched_anew_once(
    damage: Callable[[Path], None], pulled: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = Origin._fetch

    def counted(origin: Origin, shard: origins.Shard, path: Path) -> None:
        fetched.append(shard.name)
        fetch(origin, shard, path)

    monkeypatch.setattr(Origin, "_fetch", counted)
    damage(pulled.folder / "000001.tar")
    reader = pickle.loads(pickle.dumps(pulled))
    threads = [threading.Thread(target=read_all, args=[reader]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read_all(reader)
    assert fetched == ["000001.tar"]
    assert not noted_damage(pulled.folder)


def test_a_damaged_shard_waits_for_a_server_that_is_gone(server: S3Server, tmp_path: Path) -> None:
    pulled = pulled_from(server.url, tmp_path)
    flip(pulled.folder / "000001.tar")
    server.kill()
    with pytest.raises(HarnessError, match="the store cannot be reached") as caught:
        open_set(BASE, tmp_path / "data")
    assert caught.value.kind == "storage"
    server.start()
    push(tmp_path / "made" / pulled.folder.relative_to(tmp_path / "data"), server.url)
    read_all(open_set(BASE, tmp_path / "data"))


def test_what_the_store_has_damaged_as_well_is_said_truly(pulled: ShardSet, tmp_path: Path) -> None:
    (tmp_path / "store" / BASE.name / "train" / "000001.tar").write_bytes(b"x" * pulled.manifest.shards[1].bytes)
    flip(pulled.folder / "000001.tar")
    with pytest.raises(DataError, match="not the one that the manifest names") as caught:
        pickle.loads(pickle.dumps(pulled)).image(4, "gt")
    assert caught.value.hint == "where the set is sound: bench data push SET --to URL --verify"
    pull(str(tmp_path / "store"), tmp_path / "data", limit=0)  # now read in place
    with pytest.raises(Damaged, match=r"000001\.tar: the gt image of sample 'k5' is damaged"):
        open_set(BASE, tmp_path / "data").image(5, "gt")


def test_a_damaged_manifest_of_a_pulled_set_says_how_to_get_it_again(pulled: ShardSet, tmp_path: Path) -> None:
    (pulled.folder / "manifest.json").write_text("{")
    with pytest.raises(Damaged, match="the manifest is damaged") as caught:
        open_set(BASE, tmp_path / "data")
    url = f"{tmp_path}/store/{BASE.name}/train"
    data = tmp_path / "data"
    assert caught.value.hint == f"remove {pulled.folder}, then: bench data pull {url} --data {data}"
    for path in pulled.folder.iterdir():  # as the hint says
        path.unlink()
    pulled.folder.rmdir()
    pull(url, data)
    read_all(open_set(BASE, data))


def test_a_training_from_a_server_that_vanishes_fails_and_later_ends_with_the_same_weights(
    world: SmallWorld, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = small_cell(recipe=RECIPE.model_copy(update={"steps": 24}))
    assert run_job_file(str(world.write(world.train_job(cell)))).failure is None
    stored = cell.train_samples.stored.folder(world.layout.data)
    push(stored, server.url)
    data = tmp_path / "data"
    (folder,) = pull(f"{server.url}/{stored.parent.name}", data, limit=0)
    away = SmallWorld(Layout(tmp_path / "away", data))
    path = away.write(away.train_job(cell))
    read, reads = Origin.read, []

    def vanishing(origin: Origin, name: str, offset: int, length: int) -> bytes:
        reads.append(name)
        if len(reads) == 80:  # 22 to 71 of 96 samples: a sample takes one or two, and every thread's first look more
            server.kill()
        return read(origin, name, offset, length)

    monkeypatch.setattr(Origin, "read", vanishing)
    failed = run_job_file(str(path))
    assert failed.failure == "storage", failed.message
    assert "the store cannot be reached" in failed.message
    record = records.load(away.layout, cell.id)
    assert record is not None
    assert record.failure is not None
    assert record.failure.kind == "storage"
    begun = [event["step"] for event in records.read_events(away.layout, cell.id) if event["event"] == "checkpoint"]
    assert begun, "it had trained for a while"
    assert max(begun) < cell.recipe.steps
    server.start()
    push(stored, server.url)
    assert run_job_file(str(path)).failure is None
    assert not list(folder.glob("*.tar")), "every image came from the server"
    weights = [each.layout.final_weights(cell.id).read_bytes() for each in (world, away)]
    assert weights[0] == weights[1]
    assert away.curve(cell) == world.curve(cell)
    assert away.record(cell).status == "trained"
