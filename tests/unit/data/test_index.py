"""The index in itself."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.core.errors import Damaged, DataError
from harness.data.index import Index, Member, SampleRow, read_index, write_index

CLEAN = Member(0, 512, 900, 40, 50, 3, "uint8")
ROWS = [
    SampleRow("a", "s", CLEAN, Member(0, 2048, 800, 40, 50, 6, "uint16")),
    SampleRow("b", "s", CLEAN, None),
    SampleRow("ü/c", "t", None, Member(1, 512, 700, 7, 9, 1, "float32")),
    SampleRow("d", "", Member(1, 2**33, 2**31, 41, 51, 3, "uint8"), None),
]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    write_index(tmp_path / "index.parquet", ROWS)
    return read_index(tmp_path / "index.parquet")


def test_rows_come_back(index: Index) -> None:
    assert len(index) == 4
    assert list(index) == [index[number] for number in range(4)] == ROWS
    assert index[-1] == ROWS[-1]
    assert (index.keys, index.scenes) == (["a", "b", "ü/c", "d"], ["s", "s", "t", ""])
    assert index.member(0, "lq") == ROWS[0].lq
    assert index.member(1, "lq") is None
    with pytest.raises(IndexError):
        index[4]


def test_columns_say_what_rows_say(index: Index) -> None:
    assert (index.heights.tolist(), index.widths.tolist()) == ([40, 40, 7, 41], [50, 50, 9, 51])
    assert index.has("gt").tolist() == [True, True, False, True]
    assert index.has("lq").tolist() == [True, False, True, False]
    assert index.shards.tolist() == [0, 0, 1, 1]


def test_groups_come_back(tmp_path: Path) -> None:
    rows = [ROWS[0]._replace(group="indoor"), ROWS[1], ROWS[2]._replace(group="outdoor")]
    index = _written(rows)
    assert (list(index), index.groups) == (rows, ["indoor", "", "outdoor"])
    degraded = [SampleRow(key, "s", None, Member(5, 512, 9, 40, 50, 3, "float32")) for key in ("b", "a")]
    assert _written(degraded).with_clean(_written(rows[:2])).groups == ["", "indoor"]
    same = [row._replace(gt=None, lq=CLEAN, group="") for row in rows]
    assert _written(same).with_clean(_written(rows)).groups == ["indoor", "", "outdoor"]


def test_sets_of_before_have_no_groups(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    write_index(path, ROWS)
    pq.write_table(pq.read_table(path).drop_columns(["group"]), path)
    index = read_index(path)
    assert (list(index), index.groups) == (ROWS, [""] * len(ROWS))


def test_the_clean_images_of_another_set_are_found_by_key(index: Index) -> None:
    degraded = [SampleRow(key, "s", None, Member(5, 512, 9, 40, 50, 3, "float32")) for key in ("d", "a")]
    joined = _written(degraded).with_clean(index)
    assert [row.gt for row in joined] == [ROWS[3].gt, ROWS[0].gt]
    assert [row.lq for row in joined] == [row.lq for row in degraded]
    with pytest.raises(KeyError, match="stranger"):
        _written([SampleRow("stranger", "", None, degraded[0].lq)]).with_clean(index)


def test_members_that_cannot_lie_in_the_shards_are_told(index: Index) -> None:
    assert index.places["lq"].lie_in([2848, 1212])
    assert not index.places["lq"].lie_in([2847, 1212])
    assert not index.places["lq"].lie_in([2848, 1211])
    assert not index.places["lq"].lie_in([2848])
    for wrong in ({"offset": 511}, {"length": 0}, {"height": 0}, {"channels": -1}, {"dtype": "int8"}):
        row = ROWS[0]._replace(gt=CLEAN._replace(**wrong))  # type: ignore[arg-type]
        assert not _written([row]).places["gt"].lie_in([10**6])


def test_100_000_rows_are_read_without_a_row_being_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        SampleRow(f"k{number:06d}", "s", CLEAN._replace(offset=512 * (1 + number)), None) for number in range(100_000)
    ]
    write_index(tmp_path / "index.parquet", rows)
    monkeypatch.setattr(SampleRow, "__new__", None)
    index = read_index(tmp_path / "index.parquet")
    assert len(index) == 100_000
    assert index.keys[99_999] == "k099999"
    assert index.member(77_777, "gt") == CLEAN._replace(offset=512 * 77_778)
    assert int(index.heights.sum()) == 4_000_000


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_index(tmp_path / name, ROWS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_rows_are_an_index_too(tmp_path: Path) -> None:
    write_index(tmp_path / "none", [])
    assert list(read_index(tmp_path / "none")) == []


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample 'b': two samples have this key"):
        write_index(tmp_path / "x", [*ROWS, ROWS[1]])
    assert not (tmp_path / "x").exists()


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    pq.write_table(pa.table({"key": ["a"]}), path)
    with pytest.raises(Damaged, match="has other columns than key, scene, gt_shard"):
        read_index(path)
    path.write_bytes(b"")
    with pytest.raises(Damaged, match="cannot be read"):
        read_index(path)
    path.unlink()
    with pytest.raises(Damaged, match="cannot be read"):
        read_index(path)


def _written(rows: list[SampleRow]) -> Index:
    with TemporaryDirectory() as folder:
        write_index(Path(folder) / "index.parquet", rows)
        return read_index(Path(folder) / "index.parquet")
