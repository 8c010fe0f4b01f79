"""Sets, vectors and finished shards on a store: what one machine made another one reads, and plans with unread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, Samples
from harness.api.shard_parts import waiting_shard
from harness.core.damage import note_damage
from harness.data.features import Piece, open_features, write_features
from harness.data.mirrored import (
    bring_features,
    bring_known,
    bring_parts,
    bring_prints,
    bring_set,
    send_features,
    send_known,
    send_parts,
    send_prints,
    send_set,
)
from harness.data.shards import ShardSet, open_set
from harness.planning.disk import read_manifest
from harness.storage import reach
from tests.stored_set import BASE, BLURRED, picture, store
from tests.unit.storage.conftest import Machines

CLEAN = {f"k{number}": picture(number, 40, 50) for number in range(5)}
FEATURES = FeatureSet(
    prior=PartRef(name="random"), samples=Samples(stored=BLURRED), reference=Samples(stored=BLURRED)
).shared


@pytest.fixture(params=["", "/data"])
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Machines]:
    """Once with a store of their own for the data, once with one where results lie, too."""
    monkeypatch.setattr(reach, "WAITS", (0.01,))
    found = Machines(tmp_path, monkeypatch)
    found.below = request.param
    yield found
    fsspec.filesystem("memory").store.clear()


def data_on(machines: Machines, name: str) -> Path:
    return machines(name).files / machines.below.lstrip("/")


def made(data: Path, first: int = 0) -> ShardSet:
    """A set of clean images and its degraded ones; `first` gives them another content."""
    clean = store(BASE, [{"key": key, "scene": "", "gt": image + first} for key, image in CLEAN.items()], data)
    return store(BLURRED, [{"key": key, "scene": "", "lq": image} for key, image in CLEAN.items()], data, source=clean)


def test_a_set_is_read_elsewhere_with_its_clean_images(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    opened = made(one)
    send_set(BLURRED, one)
    bring_set(BLURRED, two)
    found = open_set(BLURRED, two)
    assert found.manifest_sha256 == opened.manifest_sha256
    for row, image in enumerate(CLEAN.values()):
        np.testing.assert_array_equal(found.image(row, "lq"), image)
        assert found.source is not None
        np.testing.assert_array_equal(found.source.image(row, "gt"), image)
    bring_set(BLURRED, two)  # what is here already stays
    assert list(BLURRED.folder(two).glob("*.tar"))


def test_a_plan_knows_sets_and_vectors_without_their_content(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    made(one)
    vectors(one)
    send_set(BLURRED, one)
    send_features(FEATURES, one)
    bring_known(two)
    for folder in (BASE.folder(two), BLURRED.folder(two), FEATURES.folder(two)):
        found = read_manifest(folder, two)
        assert found.sha256 is not None
        assert found.damage is None
        assert not list(folder.glob("0*"))


def vectors(data: Path, value: float = 1.0) -> None:
    rows = np.full((len(CLEAN), 4), value, dtype=np.float32)
    write_features(FEATURES, data, [Piece(np.arange(len(CLEAN)), rows)], samples_manifest_sha256="0" * 64)


def test_vectors_are_read_elsewhere_and_damage_here_is_mended_from_the_store(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    vectors(one)
    send_features(FEATURES, one)
    bring_features(FEATURES, two)
    assert open_features(FEATURES, two).all().sum() == 20.0
    file = FEATURES.folder(two) / "000000.safetensors"
    file.write_bytes(b"x" * file.stat().st_size)
    note_damage(FEATURES.folder(two), "000000.safetensors: it is not as it was written")
    bring_features(FEATURES, two)
    assert open_features(FEATURES, two).all().sum() == 20.0


def test_damage_that_a_job_found_is_known_to_the_next_plan(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    vectors(one)
    send_features(FEATURES, one)
    bring_features(FEATURES, two)
    note_damage(FEATURES.folder(two), "000000.safetensors: it is not as it was written")
    send_features(FEATURES, two)
    bring_known(one)
    assert read_manifest(FEATURES.folder(one), one).damage is not None


def test_another_set_of_the_same_name_takes_the_place_of_the_one_before(machines: Machines) -> None:
    one, two, three = (data_on(machines, name) for name in ("one", "two", "three"))
    made(one)
    send_set(BLURRED, one)
    bring_set(BLURRED, three)
    other = made(two, first=1)
    send_set(BASE, two)
    send_set(BLURRED, two)
    bring_set(BLURRED, three)
    found = open_set(BLURRED, three)
    assert found.manifest_sha256 == other.manifest_sha256
    assert found.source is not None
    np.testing.assert_array_equal(found.source.image(0, "gt"), CLEAN["k0"] + 1)


def test_finished_shards_wait_on_the_store_until_their_set_is_there(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    shard = waiting_shard(BASE, one, 3)
    shard.mkdir(parents=True)
    (shard / "shard.json").write_text("{}")
    (shard / "000003.tar").write_text("tar")
    send_parts(BASE, one)
    bring_known(two)
    assert [path.name for path in waiting_shard(BASE, two, 3).iterdir()] == ["shard.json"]
    bring_parts(BASE, two)
    assert (waiting_shard(BASE, two, 3) / "000003.tar").read_text() == "tar"
    made(two)
    send_set(BASE, two)
    assert not [key for key in machines.objects() if ".parts" in key]


def test_what_a_killed_job_made_here_gets_there_with_the_next_run(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    made(one)
    vectors(one)
    bring_known(one)
    send_known(one)
    bring_set(BLURRED, two)
    bring_features(FEATURES, two)
    assert open_set(BLURRED, two).image(0, "lq").shape == (40, 50, 3)
    assert open_features(FEATURES, two).all().sum() == 20.0


def test_prints_are_shared(machines: Machines) -> None:
    one, two = data_on(machines, "one"), data_on(machines, "two")
    (one / "prints").mkdir(parents=True)
    (one / "prints" / "a.parquet").write_text("a")
    send_prints(one)
    bring_prints(two)
    assert (two / "prints" / "a.parquet").read_text() == "a"


def test_in_plain_folders_nothing_happens(tmp_path: Path) -> None:
    for action in (bring_set, send_set, bring_parts, send_parts):
        action(BASE, tmp_path)
    for known in (bring_known, send_known, bring_prints, send_prints):
        known(tmp_path)
    bring_features(FEATURES, tmp_path)
    send_features(FEATURES, tmp_path)
    assert list(tmp_path.iterdir()) == []
