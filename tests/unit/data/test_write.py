"""What a shard holds, as tar and WebDataset see it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from harness.core.errors import DataError
from harness.data import tiff
from harness.data.index import Member, SampleRow
from harness.data.write import ShardWriter
from tests.stored_set import picture

KEYS = ["a.1", "video/0001.png", "_under__", "ünï", "k" * 300]


def written(path: Path, *samples: dict[str, Any]) -> list[SampleRow]:
    with ShardWriter(path) as writer:
        for sample in samples:
            writer.add(**sample)
        return writer.finish()


def test_webdataset_reads_a_shard(tmp_path: Path) -> None:
    path = tmp_path / "000000.tar"
    pairs = [(picture(number, 30, 140), picture(number, 30, 140, 6, "uint16")) for number in range(5)]
    samples = [{"key": key, "scene": "s", "gt": gt, "lq": lq} for key, (gt, lq) in zip(KEYS, pairs, strict=True)]
    written(path, *samples)
    found = list(webdataset.WebDataset([str(path)], shardshuffle=False))
    assert [json.loads(sample["json"])["key"] for sample in found] == KEYS
    for sample, (gt, lq) in zip(found, pairs, strict=True):
        assert {name for name in sample if not name.startswith("__")} == {"gt.tif", "lq.tif", "json"}
        np.testing.assert_array_equal(tiff.decode(sample["gt.tif"]), gt)
        np.testing.assert_array_equal(tiff.decode(sample["lq.tif"]), lq)
    told = json.loads(found[1]["json"])
    assert told == {"key": "video/0001.png", "scene": "s", "height": 30, "width": 140}


def test_rows_say_where_the_very_bytes_of_a_member_lie(tmp_path: Path) -> None:
    path = tmp_path / "000007.tar"
    sizes = [(1, 1), (128, 130), (300, 20), (5, 7), (9, 9)]
    samples: list[dict[str, Any]] = [
        {"key": key, "scene": "s", "lq": picture(0, *size, dtype="float32"), "facts": {"note": "ü" * 200}}
        for key, size in zip(KEYS, sizes, strict=True)
    ]
    rows = written(path, *samples)
    content = path.read_bytes()
    with tarfile.open(path) as shard:
        members = [member for member in shard.getmembers() if member.name.endswith(".lq.tif")]
    for row, sample, member, size in zip(rows, samples, members, sizes, strict=True):
        assert row.gt is None
        assert row.lq is not None
        assert row.lq == Member(7, member.offset_data, member.size, *size, 3, "float32")
        image = tiff.decode(content[row.lq.offset : row.lq.offset + row.lq.length])
        np.testing.assert_array_equal(image, sample["lq"])


def test_one_clean_image_of_several_degraded_ones_is_stored_once(tmp_path: Path) -> None:
    clean, other = picture(0, 20, 30), picture(1, 20, 30)
    one, two = {"gt": clean, "truth": "t1"}, {"gt": other, "truth": "t2"}
    rows = written(
        tmp_path / "0.tar",
        {"key": "x1", "scene": "x", "lq": picture(2, 20, 30), **one},
        {"key": "y", "scene": "y", "lq": picture(3, 20, 30), **two},
        {"key": "x2", "scene": "x", "lq": picture(4, 20, 30), **one},
        {"key": "x3", "scene": "x", "lq": picture(5, 20, 30), "truth": "t1"},
    )
    assert rows[0].gt == rows[2].gt == rows[3].gt != rows[1].gt
    with tarfile.open(tmp_path / "0.tar") as shard:
        names = shard.getnames()
        told = json.load(shard.extractfile("x3.json"))  # type: ignore[arg-type]
    assert [name for name in names if name.endswith(".gt.tif")] == ["x1.gt.tif", "y.gt.tif"]
    assert (told["gt"], told["truth"]) == ("x1", "t1")


@pytest.mark.parametrize(
    ("sample", "what"),
    [
        ({"gt": picture(0, 4, 4), "lq": picture(0, 3, 4)}, "differ in size: 4×4 and 3×4"),
        ({"lq": picture(0, 3, 4), "truth": "t"}, "differ in size: 3×4 and 4×4"),
        ({"gt": picture(9, 4, 4), "truth": "t"}, "'t' is not the one that sample 'first' brought"),
        ({}, "neither a clean image nor a degraded one"),
        ({"gt": picture(0, 4, 4).astype(np.float64)}, r"not an image H×W×C of uint8, uint16, float32: .*float64"),
        ({"gt": picture(0, 4, 4)[:, :, 0]}, r"not an image H×W×C"),
        ({"gt": picture(0, 4, 4)[:0]}, r"not an image H×W×C"),
        ({"key": "first", "gt": picture(0, 4, 4)}, "two samples have this key"),
        ({"scene": "\ud800", "gt": picture(0, 4, 4)}, "not valid Unicode"),
        ({"key": "\ud800", "gt": picture(0, 4, 4)}, "not valid Unicode"),
    ],
)
def test_what_is_no_sample_is_refused_and_leaves_nothing(sample: dict[str, object], what: str, tmp_path: Path) -> None:
    first = {"key": "first", "scene": "s", "gt": picture(0, 4, 4), "truth": "t"}
    with ShardWriter(tmp_path / "0.tar") as writer:
        writer.add(**first)  # type: ignore[arg-type]
        size = writer.size
        with pytest.raises(DataError, match=what):
            writer.add(**{"key": "second", "scene": "s"} | sample)  # type: ignore[arg-type]
        assert (writer.size, writer.samples) == (size, 1)
        rows = writer.finish()
    assert [row.key for row in rows] == ["first"]


def test_a_refused_sample_shares_nothing_with_later_ones(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "0.tar") as writer:
        with pytest.raises(DataError, match="differ in size"):
            writer.add("a", "", gt=picture(0, 4, 4), lq=picture(0, 5, 4), truth="t")
        writer.add("b", "", gt=picture(1, 6, 6), truth="t")
        (row,) = writer.finish()
    assert row.gt is not None
    assert (row.key, row.gt.height) == ("b", 6)


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    sample = {"key": "a", "scene": "s", "gt": picture(0, 40, 50), "facts": {"b": 1, "a": 2}}
    written(tmp_path / "one.tar", sample)
    written(tmp_path / "two.tar", {**sample, "facts": {"a": 2, "b": 1}})
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as shard:
        assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in shard} == {
            (0, 0, 0, "", 0o644)
        }


def test_a_group_is_of_the_row_and_not_of_the_shard(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    shards = []
    for group in ("", "indoor"):
        path = tmp_path / f"group{group}.tar"
        with ShardWriter(path) as writer:
            writer.add("a", "s", gt=pixels, group=group)
            assert [row.group for row in writer.finish()] == [group]
        shards.append(path.read_bytes())
    assert shards[0] == shards[1]


def test_rows_take_the_number_that_the_shard_is_called_by(tmp_path: Path) -> None:
    for name, number in (("000012.tar", 12), ("part.tar", 0)):
        rows = written(tmp_path / name, {"key": "a", "scene": "", "gt": picture(0, 4, 4), "lq": picture(1, 4, 4)})
        assert {member.shard for row in rows for member in (row.gt, row.lq) if member} == {number}


def test_a_shard_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        ShardWriter(tmp_path / "0.tar")
    assert (tmp_path / "0.tar").read_bytes() == b"precious"


def test_tar_programs_see_plain_tiff_files(tmp_path: Path) -> None:
    image = picture(0, 150, 140)
    written(tmp_path / "0.tar", {"key": "a", "scene": "", "gt": image})
    with tarfile.open(tmp_path / "0.tar") as shard:
        content = shard.extractfile("a.gt.tif").read()  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), image)
