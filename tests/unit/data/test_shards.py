"""The index and the writer in themselves; damage is in tests/faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import DataError
from harness.data.index import SampleRow
from harness.data.prepare import prepare_set
from harness.data.shards import to_float
from harness.data.write import ShardWriter
from tests.small_set import prepared, registry


def test_rows_are_a_sequence_in_shard_order(tmp_path: Path) -> None:
    rows = prepare_set(prepared(), registry(), tmp_path, shard_samples=20).rows
    listed = list(rows)
    assert len(listed) == len(rows) == 54
    assert listed[0] == rows[0] == SampleRow("a.1-y00000-x00000", "a.1", "a.1", 0, 0)
    assert rows[-1] == rows[53] == listed[-1]
    assert rows[10:14] == listed[10:14]
    assert rows[50:5:-7] == listed[50:5:-7]
    assert rows[60:70] == []
    assert [(row.shard, row.position) for row in listed] == [divmod(number, 20) for number in range(54)]
    with pytest.raises(IndexError):
        rows[54]


def test_to_float_is_exact() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_float(levels), np.arange(256, dtype=np.float32) / np.float32(255))
    assert to_float(levels)[255] == 1
    floats = np.array([-0.5, 1.5], np.float32)
    assert to_float(floats) is floats


def test_the_writer_refuses_what_is_no_pair(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with ShardWriter(tmp_path, lq_codec="npy", gt_codec="npy") as writer:
        writer.add("one", image, image, image="one", scene="one", facts={})
        with pytest.raises(DataError, match=r"sample 'one': two samples have this key"):
            writer.add("one", image, image, image="one", scene="one", facts={})
        with pytest.raises(DataError, match=r"sample 'two': .* differ in size: 4×4×3 and 3×4×3"):
            writer.add("two", image, image[1:], image="two", scene="two", facts={})
        index, shards = writer.finish()
    assert [shard.samples for shard in shards] == [1]
    assert index.bytes == (tmp_path / index.name).stat().st_size
