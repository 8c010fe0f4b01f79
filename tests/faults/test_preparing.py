"""Preparing in parts that is killed, fails, or finds damage: finished shards stay, and the next run goes on."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.shard_parts import parts_of, shards_in, shards_of, waiting_folder
from harness.core.errors import DataError, HarnessError
from harness.core.identity import digest, file_sha256
from harness.core.registry import Registry
from harness.data import waiting
from harness.data.prepare import prepare_part, prepare_set
from harness.data.prints import known_prints
from harness.data.shards import ShardSet, open_set
from harness.data.waiting import Waiting
from tests.small_set import registry


class Many:
    """Small pictures, one a key. `fails`: the place of one that cannot be read."""

    traits = DatasetTraits(random_access=True)

    def __init__(self, images: int = 130, fails: int | None = None, shade: int = 0) -> None:
        self.names = [f"ü{number}" if number % 2 else f"Ü{number - 1}" for number in range(images)]
        self.fails, self.shade, self.read = fails, shade, []  # type: ignore[var-annotated]

    def splits(self) -> Sequence[str]:
        return ("train",)

    def fingerprint(self) -> str:
        return digest([self.names])

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(name, name) for name in self.names]

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        for key in keys:
            place = self.names.index(key)
            self.read.append(place)
            if place == self.fails:
                raise DataError("this file cannot be read", where=key)
            pixels = np.random.default_rng(place).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            yield SourceImage(key, key, pixels + np.uint8(self.shade))

    def images(self, split: str) -> Iterator[SourceImage]:
        return self.images_at(split, self.names)


class InARow(Many):
    """The same, which gives its images from the first on alone."""

    traits = DatasetTraits()

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        assert len(keys) == len(self.names)
        return super().images_at(split, keys)


def stored(dataset: Many, by: str | None = None) -> PreparedSet:
    ref = PartRef(name="many", digest=dataset.fingerprint())
    return PreparedSet(dataset=ref, split="train", degradation=None if by is None else PartRef(name=by))


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch):
    """Puts one data set in place of all; gives the registry."""

    def put(dataset: Many) -> Registry:
        monkeypatch.setattr("harness.data.images.opened", lambda *given: dataset)
        return registry()

    return put


def shas(opened: ShardSet) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(opened.folder.glob("[!.]*"))}


def finished(dataset: Many, data: Path) -> list[str]:
    return sorted(path.parent.name for path in waiting_folder(stored(dataset), data).glob("[!.]*/*.tar"))


def test_shards_and_parts_follow_from_the_number_of_images() -> None:
    assert [shards_of(images) for images in (0, 1, 64, 65, 130)] == [0, 1, 1, 2, 3]
    assert [parts_of(images) for images in (0, 1, 128, 129, 64 * 32, 100_000)] == [1, 1, 1, 3, 32, 32]
    for shards in (3, 33, 100, 1563):
        parts = min(shards, 32)
        every = [shard for part in range(1, parts + 1) for shard in shards_in(part, parts, shards)]
        assert every == list(range(shards))
        assert all(len(shards_in(part, parts, shards)) for part in range(1, parts + 1))


@pytest.mark.parametrize("kind", [Many, InARow])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2,), ()])
def test_parts_in_any_order_give_the_bytes_of_one_job(kind: type[Many], order: tuple, bring, tmp_path: Path) -> None:
    whole = prepare_set(stored(Many()), bring(Many()), tmp_path / "whole")
    assert [shard.samples for shard in whole.manifest.shards] == [64, 64, 2]
    dataset = kind()
    for part in order:
        prepare_part(stored(dataset), part, 3, bring(dataset), tmp_path / "parts")
    joined = prepare_set(stored(dataset), bring(dataset), tmp_path / "parts")
    assert shas(joined) == shas(whole)
    assert [path.name for path in joined.folder.parent.iterdir()] == ["train"], "nothing is left beside it"
    prints = known_prints(stored(dataset).dataset, "train", tmp_path / "parts")
    assert prints is not None
    assert list(prints.keys) == dataset.names
    if kind is Many:
        assert sorted(dataset.read) == list(range(130)), "every image is read once"


@pytest.mark.parametrize("when", ["after its last shard", "while it writes"])
def test_a_part_leaves_nothing_where_another_run_finished_the_set_meanwhile(
    when: str, bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Many()
    registry = bring(dataset)
    real = Waiting._write
    ran: list[int] = []

    def overtaken(waiting: Waiting, shard: int, images: Iterator[SourceImage]) -> object:
        if ran:
            return real(waiting, shard, images)
        ran.append(shard)
        if when == "while it writes":
            images = overtaken_at_the_end(images)
            return real(waiting, shard, images)
        done = real(waiting, shard, images)
        Path(waiting.folder(0).parent).rename(tmp_path / "part")  # the other run does not see it
        prepare_set(stored(dataset), registry, tmp_path)
        (tmp_path / "part").rename(waiting.folder(0).parent)
        return done

    def overtaken_at_the_end(images: Iterator[SourceImage]) -> Iterator[SourceImage]:
        yield from images
        monkeypatch.setattr(Waiting, "_write", real)
        prepare_set(stored(dataset), registry, tmp_path)

    monkeypatch.setattr(Waiting, "_write", overtaken)
    with monkeypatch.context() as patched:
        patched.setattr("harness.data.waiting.held", lambda folder: nullcontext())  # one process stands for two
        prepare_part(stored(dataset), 2, 3, registry, tmp_path)
    folder = stored(dataset).folder(tmp_path)
    assert ran == [1]
    assert [path.name for path in folder.parent.iterdir()] == ["train"], "nothing is left beside it"
    assert len(open_set(stored(dataset), tmp_path)) == 130


def test_degraded_parts_give_the_bytes_of_one_job(bring, tmp_path: Path) -> None:
    dataset, by = Many(), "low_light"
    whole = prepare_set(stored(dataset, by), bring(dataset), tmp_path / "whole")
    for part in (2, 3, 1):
        prepare_part(stored(dataset, by), part, 3, bring(dataset), tmp_path / "parts")
    assert shas(prepare_set(stored(dataset, by), bring(dataset), tmp_path / "parts")) == shas(whole)


@pytest.mark.parametrize("kind", [Many, InARow])
def test_an_image_that_fails_costs_its_shard_alone(kind: type[Many], bring, tmp_path: Path) -> None:
    bad = kind(fails=70)
    with pytest.raises(DataError, match="this file cannot be read"):
        prepare_set(stored(bad), bring(bad), tmp_path)
    assert finished(bad, tmp_path) == ["000000"]
    assert not list(waiting_folder(stored(bad), tmp_path).rglob(".*")), "nothing half-written"
    good = Many()
    opened = prepare_set(stored(good), bring(good), tmp_path)
    assert good.read == list(range(64, 130))
    assert shas(opened) == shas(prepare_set(stored(good), bring(Many()), tmp_path / "whole"))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flipped, lambda path: os.truncate(path, 100), Path.unlink])
@pytest.mark.parametrize("file", ["000001.tar", "shard.json", "prints.parquet"])
def test_damaged_remains_are_told_and_made_again(damage, file: str, bring, tmp_path: Path, caplog) -> None:
    dataset = Many()
    prepare_part(stored(dataset), 2, 3, bring(dataset), tmp_path)
    damage(waiting_folder(stored(dataset), tmp_path) / "000001" / file)
    with caplog.at_level(logging.WARNING):
        opened = prepare_set(stored(dataset), bring(dataset), tmp_path)
    told = [record.getMessage() for record in caplog.records if "made again, because" in record.getMessage()]
    assert bool(told) == (file != "prints.parquet")
    assert shas(opened) == shas(prepare_set(stored(dataset), bring(Many()), tmp_path / "whole"))


def test_remains_of_another_converter_are_not_taken(bring, tmp_path: Path, monkeypatch, caplog) -> None:
    dataset = Many(shade=7)
    with monkeypatch.context() as patched:
        patched.setattr(waiting, "CONVERTER", 99)
        prepare_part(stored(dataset), 1, 3, bring(dataset), tmp_path)
    with caplog.at_level(logging.WARNING):
        opened = prepare_set(stored(Many()), bring(Many()), tmp_path)
    assert "it was made of something else" in caplog.text
    assert shas(opened) == shas(prepare_set(stored(Many()), bring(Many()), tmp_path / "whole"))


def test_several_jobs_make_each_shard_once(bring, tmp_path: Path) -> None:
    dataset = Many()
    given = bring(dataset)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: prepare_part(stored(dataset), part, 2, given, tmp_path), (1, 2, 1, 2)))
    made = {path: path.stat().st_ino for path in waiting_folder(stored(dataset), tmp_path).rglob("*.tar")}
    assert len(made) == 3
    opened = prepare_set(stored(dataset), given, tmp_path)
    assert {path.stat().st_ino for path in opened.folder.glob("*.tar")} == set(made.values()), "the same files"


KILLED = """
import sys, time
from pathlib import Path
from harness.data import images, write
from harness.data.prepare import prepare_set
from tests.faults.test_preparing import Many, stored
from tests.small_set import registry
images.opened = lambda *given: Many()
add = write.ShardWriter.add
def slow(self, *args, **kwargs):
    add(self, *args, **kwargs)
    print("added", flush=True)
    time.sleep(0.005)
write.ShardWriter.add = slow
prepare_set(stored(Many()), registry(), Path(sys.argv[1]))
"""


def test_a_killed_preparation_leaves_whole_shards_and_the_next_run_goes_on(bring, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert len(list(islice(child.stdout, 80))) == 80
    child.send_signal(signal.SIGKILL)
    child.wait()
    dataset = Many()
    assert not stored(dataset).folder(tmp_path).exists()
    assert finished(dataset, tmp_path) == ["000000"], "it was killed in the second shard"
    opened = prepare_set(stored(dataset), bring(dataset), tmp_path)
    assert dataset.read == list(range(64, 130))
    assert shas(opened) == shas(prepare_set(stored(dataset), bring(Many()), tmp_path / "whole"))
    assert open_set(stored(dataset), tmp_path).index.keys == dataset.names


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


def test_a_full_disk_is_said_and_keeps_what_is_finished(bring, small_disk: Path) -> None:
    dataset = Many()
    with pytest.raises(HarnessError, match="the disk is full") as caught:
        prepare_set(stored(dataset), bring(dataset), small_disk)
    assert caught.value.kind == "storage"
    left = [path for path in small_disk.rglob("*") if path.is_file()]
    assert finished(dataset, small_disk) == ["000000"]
    assert {path.parent.name for path in left} == {"000000"}, "nothing half-written"


def test_a_read_only_folder_is_said(bring, tmp_path: Path, monkeypatch) -> None:
    dataset = Many()

    def refuse(path: Path, *given, **options) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere
    with pytest.raises(HarnessError, match="cannot write here") as caught:
        prepare_part(stored(dataset), 1, 3, bring(dataset), tmp_path / "data")
    assert caught.value.kind == "storage"
    assert not (tmp_path / "data").exists()
