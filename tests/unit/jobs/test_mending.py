"""Damaged shards and vectors: a training refuses them by name, the job that made them mends them, equal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.damage import held, noted_damage
from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.jobs import features, shards, train
from harness.planning.job import FeaturesWork, ShardsWork
from tests.small_world import SmallWorld, refined_cell

CELL = refined_cell()


@pytest.fixture
def own(world: SmallWorld, tmp_path: Path) -> SmallWorld:
    """The small world with a data folder of its own."""
    shutil.copytree(world.layout.data, tmp_path / "data")
    return SmallWorld(Layout(tmp_path / "out", tmp_path / "data"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def as_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def digests(folder: Path) -> dict[str, str]:
    """Of all files but the notes of what was verified."""
    return {path.name: file_sha256(path) for path in folder.glob("[!.]*")}


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink, as_a_folder])
@pytest.mark.parametrize("name", ["manifest.json", "index.parquet", "000000.tar", "000000.safetensors", "vectors"])
def test_damage_is_refused_named_and_mended(own: SmallWorld, name: str, damage: Callable[[Path], None]) -> None:
    rows = CELL.train_features(0)
    assert rows is not None
    of_vectors = name in ("000000.safetensors", "vectors")
    folder = (rows if of_vectors else CELL.train_samples.stored).folder(own.layout.data)
    whole = digests(folder)
    path = folder / ("manifest.json" if name == "vectors" else name)
    damage(path)
    with pytest.raises(DataError) as caught:
        train.run(own.train_job(CELL), own.context)
    assert caught.value.kind == "data"
    assert caught.value.where in (str(path), str(folder))
    assert caught.value.what in noted_damage(folder)
    assert not own.layout.final_weights(CELL.id).exists()
    if of_vectors:
        features.run(own.job(FeaturesWork(features=rows)), own.context)
    else:
        shards.run(own.job(ShardsWork(stored=CELL.train_samples.stored)), own.context)
    assert digests(folder) == whole


def test_vectors_that_another_run_mended_meanwhile_are_left_to_their_readers(
    own: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = CELL.train_features(0)
    assert rows is not None
    folder = rows.folder(own.layout.data)
    path = folder / "000000.safetensors"
    whole, before = path.read_bytes(), folder.stat().st_ino
    flip(path)

    @contextmanager
    def mended(place: Path) -> Iterator[None]:
        path.write_bytes(whole)
        with held(place):
            yield

    monkeypatch.setattr(features, "held", mended)
    monkeypatch.setattr(features, "_make", lambda *given: pytest.fail("they are made again"))
    features.run(own.job(FeaturesWork(features=rows)), own.context)
    assert folder.stat().st_ino == before
    assert ([each.name for each in folder.parent.iterdir()], noted_damage(folder)) == (["train"], "")


def test_what_killed_runs_left_beside_vectors_is_swept(own: SmallWorld) -> None:
    rows = CELL.train_features(0)
    assert rows is not None
    folder = rows.folder(own.layout.data)
    flip(folder / "manifest.json")
    left = folder.with_name(".train.0a1b2c3d.tmp")
    left.mkdir()
    os.utime(left, (0, 0))
    features.run(own.job(FeaturesWork(features=rows)), own.context)
    assert [each.name for each in folder.parent.iterdir()] == ["train"]


def test_damaged_vectors_stay_when_they_cannot_be_made_again(own: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = CELL.train_features(0)
    assert rows is not None
    folder = rows.folder(own.layout.data)
    flip(folder / "manifest.json")
    before = {path.name for path in folder.iterdir()}

    def fail(*given: object, **more: object) -> None:
        raise DataError("no weights")

    monkeypatch.setattr(features, "build_prior", fail)
    with pytest.raises(DataError, match="no weights"):
        features.run(own.job(FeaturesWork(features=rows)), own.context)
    assert {path.name for path in folder.iterdir()} == before | {"damaged.txt"}
    assert [path.name for path in folder.parent.iterdir()] == ["train"]
