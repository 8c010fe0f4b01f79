"""Images of prepared sets as they are read; damage is in tests/faults."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import Damaged, DataError
from harness.core.identity import file_sha256, sealed
from harness.core.paths import write_json
from harness.data import shards, verified
from harness.data.index import SampleRow, write_index
from harness.data.shards import ShardSet, open_set, to_float
from tests.stored_set import BASE, BLURRED, entry, picture, store

SIZES = [(1, 1), (127, 300), (128, 128), (129, 257), (300, 200), (40, 50), (256, 384)]
CLEAN = {f"k{number}": picture(number, *size) for number, size in enumerate(SIZES)}
SOFT = {key: image.astype(np.float32) / 300 for key, image in CLEAN.items()}


@pytest.fixture
def base(tmp_path: Path) -> ShardSet:
    return store(BASE, [{"key": key, "scene": key[0], "gt": image} for key, image in CLEAN.items()], tmp_path)


@pytest.fixture
def blurred(tmp_path: Path, base: ShardSet) -> ShardSet:
    return store(BLURRED, [{"key": key, "scene": "", "lq": lq} for key, lq in SOFT.items()], tmp_path, source=base)


def open_shards(folder: Path) -> int:
    """Shards of a folder that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return len([path for path in found if path.startswith(str(folder)) and path.endswith(".tar")])


def test_images_and_windows_come_back(base: ShardSet) -> None:
    assert len(base) == len(base.index) == 7
    for row, image in enumerate(CLEAN.values()):
        np.testing.assert_array_equal(base.image(row, "gt"), image)
        height, width = image.shape[:2]
        window = height // 3, width // 4, height - height // 3, max(1, width // 2)
        part = image[window[0] :, window[1] : window[1] + window[3]]
        np.testing.assert_array_equal(base.image(row, "gt", window), part)


def test_a_degraded_set_takes_the_clean_images_from_its_source(blurred: ShardSet) -> None:
    assert blurred.source is not None
    assert blurred.manifest.parents == (blurred.source.manifest_sha256,)
    assert blurred.index.has("gt").all()
    for row, key in enumerate(CLEAN):
        np.testing.assert_array_equal(blurred.image(row, "lq"), SOFT[key])
        np.testing.assert_array_equal(blurred.image(row, "gt"), CLEAN[key])
    names = {path.name for path in blurred.folder.iterdir()} - {".verified.json"}
    assert names == {"manifest.json", "index.parquet", *(f"00000{number}.tar" for number in range(3))}


def test_a_degraded_set_may_lack_images_and_have_another_order(tmp_path: Path, base: ShardSet) -> None:
    keys = ["k5", "k1", "k3"]
    some = store(BLURRED, [{"key": key, "scene": "", "lq": SOFT[key]} for key in keys], tmp_path, source=base)
    for row, key in enumerate(keys):
        np.testing.assert_array_equal(some.image(row, "gt"), CLEAN[key])


def test_what_is_not_there_is_said(base: ShardSet) -> None:
    with pytest.raises(DataError, match="sample 'k3' has no degraded image"):
        base.image(3, "lq")
    with pytest.raises(ValueError, match=r"\(0, 0, 128, 129\) does not lie in 'k2', 128×128 pixels"):
        base.image(2, "gt", (0, 0, 128, 129))
    with pytest.raises(IndexError):
        base.image(7, "gt")
    assert not (base.folder / "damaged.txt").exists()


def test_only_the_bytes_of_a_window_are_read(base: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    real = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        read.append((offset, length))
        return real(descriptor, length, offset)

    member = base.index[6].gt
    assert member is not None
    monkeypatch.setattr(os, "pread", pread)
    for _ in range(2):
        base.image(6, "gt", (128, 128, 128, 128))
    assert len(read) == 3, "the header once, then one tile each time"
    assert read[0][0] == member.offset - 512
    assert read[1] == read[2]
    assert all(
        member.offset - 512 <= offset < offset + length <= member.offset + member.length for offset, length in read
    )
    assert sum(length for _, length in read[:2]) < member.length / 5


def test_threads_read_what_one_reads(blurred: ShardSet) -> None:
    places = [(row, side) for row in range(7) for side in ("gt", "lq")] * 20
    random.Random(0).shuffle(places)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: blurred.image(*place), places))
    for (row, side), image in zip(places, found, strict=True):
        np.testing.assert_array_equal(image, (CLEAN if side == "gt" else SOFT)[f"k{row}"])


def test_few_shards_are_open_at_a_time_and_none_when_the_set_is_gone(
    base: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "OPEN_SHARDS", 2)
    before = open_shards(base.folder)
    opened = pickle.loads(pickle.dumps(base))
    assert open_shards(base.folder) == before
    for row in (0, 3, 6, 0):
        opened.image(row, "gt")
    assert open_shards(base.folder) == before + 2
    del opened
    assert open_shards(base.folder) == before


def test_the_shard_that_was_used_last_is_closed_last(base: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "OPEN_SHARDS", 2)
    opened = pickle.loads(pickle.dumps(base))
    made: list[int] = []
    readable = opened._readable

    def counted(number: int) -> object:
        made.append(number)
        return readable(number)

    monkeypatch.setattr(opened, "_readable", counted)
    for row in (0, 3, 0, 6, 0):
        opened.image(row, "gt")
    assert made == [0, 1, 2]


def test_rain13k_stays_open_under_the_usual_limit_of_files() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({0}, {0}));"
        "import harness.data.shards as s; print(s.OPEN_SHARDS)"
    )
    found = [
        int(subprocess.run([sys.executable, "-c", code.format(limit)], capture_output=True, check=True).stdout)
        for limit in (1024, 256, 4096)
    ]
    assert found == [256, 64, 256]
    assert found[0] > 214, "Rain13K: 13712 images, 64 a shard"


def test_what_is_fetched_ahead_are_the_shards_of_both_sides(
    tmp_path: Path, base: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The degraded set has another order than that of its clean images, and lies in other shards."""
    keys = ["k6", "k5", "k1", "k0"]
    some = store(BLURRED, [{"key": key, "scene": "", "lq": SOFT[key]} for key in keys], tmp_path, source=base)
    assert some.source is not None
    asked: dict[str, list[str]] = {}

    class Asked:
        def __init__(self, name: str) -> None:
            self.name = name

        def ahead(self, names: Iterable[str]) -> None:
            asked[self.name] = list(names)

    some.__dict__["origin"], some.source.__dict__["origin"] = Asked("lq"), Asked("gt")
    some.fetch_ahead(iter([0, 1, 2, 3]))
    assert asked == {"lq": ["000000.tar", "000001.tar"], "gt": ["000002.tar", "000001.tar", "000000.tar"]}
    some.fetch_ahead([3, 2])
    assert asked == {"lq": ["000001.tar", "000000.tar"], "gt": ["000000.tar"]}
    some.source.fetch_ahead([5])
    assert asked["gt"] == ["000001.tar"]


def test_little_is_remembered_of_a_large_set(base: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "KEPT_TILES", 4)
    opened = pickle.loads(pickle.dumps(base))
    for _ in range(2):
        for row, image in enumerate(CLEAN.values()):
            np.testing.assert_array_equal(opened.image(row, "gt"), image)
            assert sum(len(tiles.ends) for tiles in opened._tables.values()) <= 4 + 7


def test_a_set_goes_to_another_process(blurred: ShardSet) -> None:
    blurred.image(0, "gt")
    again = pickle.loads(pickle.dumps(blurred))
    np.testing.assert_array_equal(again.image(3, "lq"), SOFT["k3"])
    np.testing.assert_array_equal(again.image(3, "gt"), CLEAN["k3"])


def test_a_forked_process_and_its_parent_read_the_same_open_shard(base: ShardSet) -> None:
    base.image(0, "gt")
    child = os.fork()
    if child == 0:
        sound = all((base.image(row, "gt") == CLEAN[f"k{row}"]).all() for _ in range(20) for row in range(7))
        os._exit(0 if sound else 1)
    for _ in range(20):
        for row in range(7):
            np.testing.assert_array_equal(base.image(row, "gt"), CLEAN[f"k{row}"])
    assert os.waitpid(child, 0)[1] == 0


def test_a_reader_of_another_place_stands_in_for_a_shard(base: ShardSet) -> None:
    class Counted:
        def __init__(self, path: Path) -> None:
            self.content, self.bytes = path.read_bytes(), 0

        def read(self, offset: int, length: int) -> bytes:
            self.bytes += length
            return self.content[offset : offset + length]

    made = [Counted(base.folder / f"00000{number}.tar") for number in range(3)]

    class Elsewhere(ShardSet):
        def shard(self, number: int) -> Counted:
            return made[number]

    far = Elsewhere(base.folder, base.manifest, base.manifest_sha256)
    np.testing.assert_array_equal(far.image(4, "gt", (0, 0, 10, 10)), CLEAN["k4"][:10, :10])
    assert (made[0].bytes, made[2].bytes) == (0, 0)
    assert 0 < made[1].bytes < 60_000


def test_to_float_is_exact() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_float(levels), np.arange(256, dtype=np.float32) / np.float32(255))
    assert to_float(levels)[255] == 1
    fine = np.array([0, 1, 32768, 65535], np.uint16)
    np.testing.assert_array_equal(to_float(fine), np.array([0, 1 / 65535, 32768 / 65535, 1], np.float32))
    assert to_float(fine).dtype == np.float32
    floats = np.array([-0.5, 1.5], np.float32)
    assert to_float(floats) is floats


def test_a_set_that_was_verified_is_not_read_again_by_the_next_process(
    base: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = base.folder.parents[2]
    monkeypatch.setattr(verified, "_SETTLED", -1.0)
    open_set(BASE, data)
    hashed: list[str] = []

    def read(path: Path) -> str:
        hashed.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(verified, "known_sha256", read)  # a process that has hashed nothing yet
    open_set(BASE, data)
    assert hashed == []
    content = bytearray((base.folder / "000001.tar").read_bytes())
    content[3000] ^= 1
    (base.folder / "000001.tar").write_bytes(content)
    with pytest.raises(Damaged, match=r"000001\.tar: changed"):
        open_set(BASE, data)
    assert hashed == ["000001.tar"]


def write_other_index(opened: ShardSet, rows: list[SampleRow]) -> None:
    """An index that the manifest names, and that is not that of the shards."""
    write_index(opened.folder / "index.parquet", rows)
    index = opened.manifest.index.model_copy(update=entry(opened.folder / "index.parquet"))
    manifest = opened.manifest.model_copy(update={"index": index})
    write_json(opened.folder / "manifest.json", sealed(manifest.model_dump(mode="json")))


@pytest.mark.parametrize("side", ["gt", "lq"])
def test_an_index_whose_samples_are_swapped_never_gives_another_image(side: str, tmp_path: Path) -> None:
    samples = [
        {"key": f"k{number}", "scene": "", "gt": picture(number, 20, 30), "lq": picture(9 + number, 20, 30)}
        for number in range(4)
    ]
    made = store(BASE, samples, tmp_path, per_shard=4)
    rows = list(made.index)
    first, second = getattr(rows[1], side), getattr(rows[2], side)
    rows[1], rows[2] = rows[1]._replace(**{side: second}), rows[2]._replace(**{side: first})
    write_other_index(made, rows)
    opened = open_set(BASE, tmp_path)
    for row in (1, 2):
        with pytest.raises(Damaged, match=rf"the index names a place where the shard has 'k{3 - row}\.{side}\.tif'"):
            opened.image(row, side)  # type: ignore[arg-type]
    np.testing.assert_array_equal(opened.image(3, side), samples[3][side])  # type: ignore[arg-type]


def test_two_samples_at_one_place_are_not_both_believed(tmp_path: Path) -> None:
    samples = [{"key": f"k{number}", "scene": "", "lq": picture(number, 20, 30)} for number in range(4)]
    made = store(BASE, samples, tmp_path, per_shard=4)
    rows = list(made.index)
    rows[2] = rows[2]._replace(lq=rows[1].lq)
    write_other_index(made, rows)
    opened = open_set(BASE, tmp_path)
    np.testing.assert_array_equal(opened.image(1, "lq"), samples[1]["lq"])
    with pytest.raises(Damaged, match=r"the shard has 'k1\.lq\.tif'"):
        opened.image(2, "lq")


def test_a_clean_image_of_several_samples_is_read_by_all(tmp_path: Path) -> None:
    clean = picture(0, 20, 30)
    samples = [
        {"key": key, "scene": "", "gt": clean, "lq": picture(number, 20, 30), "truth": "t"}
        for number, key in enumerate("zyx")
    ]
    base = store(BASE, samples, tmp_path)
    for opened in (base, open_set(BASE, tmp_path)):
        for row in range(3):
            np.testing.assert_array_equal(opened.image(row, "gt"), clean)
    soft = store(BLURRED, [{"key": "x", "scene": "", "lq": clean}], tmp_path, source=base)
    np.testing.assert_array_equal(soft.image(0, "gt"), clean)


def test_pairs_whose_images_differ_in_size_are_damage(tmp_path: Path, base: ShardSet) -> None:
    sizes = [CLEAN["k0"], CLEAN["k2"], *list(CLEAN.values())[2:]]
    degraded = [{"key": f"k{number}", "scene": "", "lq": image} for number, image in enumerate(sizes)]
    with pytest.raises(Damaged, match="the two images of sample 'k1' differ in size"):
        _ = store(BLURRED, degraded, tmp_path, source=base).index
