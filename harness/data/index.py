"""The index of a prepared set, `index.parquet`: one row per sample, in shard order, with the place of its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.damage import unreadable
from harness.core.errors import Damaged, DataError
from harness.data.tiff import DTYPES

INDEX = "index.parquet"
Side = Literal["gt", "lq"]
SIDES: tuple[Side, Side] = ("gt", "lq")
"""The clean image and the degraded one."""
AGAIN = "bench run SUITE prepares this set again"


class Member(NamedTuple):
    """Where the file of one image lies: `length` bytes from `offset` of a shard on, which are its content alone."""

    shard: int
    offset: int
    length: int
    height: int
    width: int
    channels: int
    dtype: str
    """`uint8`, `uint16` or `float32`."""


class SampleRow(NamedTuple):
    """One sample: a pair, or one image. Rows whose clean image is the same share its member."""

    key: str
    scene: str
    gt: Member | None
    lq: Member | None
    group: str = ""
    """The group of the split that also has an average of its own; empty: none."""


_TYPES = dict(zip(Member._fields, (pa.int32(), *[pa.int64()] * 2, *[pa.int32()] * 3, pa.string()), strict=True))
INDEX_SCHEMA = pa.schema(
    [("key", pa.string()), ("scene", pa.string())]
    + [(f"{side}_{name}", kind) for side in SIDES for name, kind in _TYPES.items()]
    + [("group", pa.string())]
)
_UNGROUPED = pa.schema(list(INDEX_SCHEMA)[:-1])
"""Of sets that were prepared when there were no groups."""


class Places:
    """The members of one side, in columns: of 100,000 samples they are read in a moment."""

    def __init__(self, numbers: np.ndarray, dtypes: list[str], keys: list[str]) -> None:
        """`numbers`: (N, 6) int64, the fields of `Member` before `dtype`, -1 where a sample lacks this image. `keys`:
        of the samples that the members are called by; that is another one where two share an image."""
        self.numbers, self.dtypes, self.keys = numbers, dtypes, keys

    @property
    def there(self) -> np.ndarray:
        """(N,) bool."""
        there: np.ndarray = self.numbers[:, 0] >= 0
        return there

    def lie_in(self, sizes: Sequence[int]) -> bool:
        """Whether all lie within the shards, of these sizes in bytes, and have pixels of a known type."""
        shard, offset, length, *sides = self.numbers[self.there].T
        if (shard >= len(sizes)).any() or not {*self.dtypes} <= {"", *DTYPES}:
            return False
        inside = (offset >= 512) & (length > 0) & (offset + length <= np.array([*sizes, 0])[shard])
        return bool(inside.all() and (np.stack(sides) > 0).all())

    def __getitem__(self, row: int) -> Member | None:
        shard, offset, length, height, width, channels = self.numbers[row].tolist()
        return None if shard < 0 else Member(shard, offset, length, height, width, channels, self.dtypes[row])


class Index(Sequence[SampleRow]):
    """The rows of a prepared set. `heights` and `widths`: (N,) of the images, pixels. `groups`: None where there are
    none."""

    def __init__(
        self, keys: list[str], scenes: list[str], places: dict[Side, Places], groups: list[str] | None = None
    ) -> None:
        self.keys, self.scenes, self.places = keys, scenes, places
        self.groups = [""] * len(keys) if groups is None else groups
        numbers = np.where(places["gt"].there[:, None], places["gt"].numbers, places["lq"].numbers)
        self.heights: np.ndarray = numbers[:, 3]
        self.widths: np.ndarray = numbers[:, 4]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> SampleRow:  # type: ignore[override]
        gt, lq = self.places["gt"][index], self.places["lq"][index]
        return SampleRow(self.keys[index], self.scenes[index], gt, lq, self.groups[index])

    def __iter__(self) -> Iterator[SampleRow]:
        return map(self.__getitem__, range(len(self)))

    def has(self, side: Side) -> np.ndarray:
        """(N,) bool: which samples have this image."""
        return self.places[side].there

    def member(self, row: int, side: Side) -> Member | None:
        return self.places[side][row]

    @property
    def shards(self) -> np.ndarray:
        """(N,) the shard of every sample: where its degraded image lies, or its clean one if it has no other."""
        degraded, clean = self.places["lq"], self.places["gt"]
        found: np.ndarray = np.where(degraded.there, degraded.numbers[:, 0], clean.numbers[:, 0])
        return found

    def with_clean(self, source: Index) -> Index:
        """The same samples with the clean images of another set. Raises KeyError for a key that it does not have."""
        clean = source.places["gt"]
        if self.keys == source.keys:
            return Index(self.keys, self.scenes, {"gt": clean, "lq": self.places["lq"]}, source.groups)
        rows = {key: row for row, key in enumerate(source.keys)}
        found = [rows[key] for key in self.keys]
        dtypes, names = [clean.dtypes[row] for row in found], [clean.keys[row] for row in found]
        taken = Places(clean.numbers[found], dtypes, names)
        groups = [source.groups[row] for row in found]
        return Index(self.keys, self.scenes, {"gt": taken, "lq": self.places["lq"]}, groups)

    def check_sizes(self) -> None:
        """Raises ValueError for a sample whose clean image and degraded one differ in height or width."""
        clean, degraded = self.places["gt"], self.places["lq"]
        differ = (clean.numbers[:, 3:5] != degraded.numbers[:, 3:5]).any(axis=1) & clean.there & degraded.there
        if differ.any():
            raise ValueError(f"the two images of sample {self.keys[int(differ.argmax())]!r} differ in size")


def write_index(path: Path, rows: Sequence[SampleRow]) -> None:
    """Writes the rows of all shards, in order. Raises DataError when two samples have one key."""
    keys = [row.key for row in rows]
    if len(set(keys)) < len(keys):
        twice = Counter(keys).most_common(1)[0][0]
        raise DataError("two samples have this key", where=f"sample {twice!r}", hint="rename one of the images")
    columns: list[list[object]] = [list(keys), [row.scene for row in rows]]
    for members in ([row.gt for row in rows], [row.lq for row in rows]):
        for place in range(len(Member._fields)):
            columns.append([None if member is None else member[place] for member in members])
    columns.append([row.group for row in rows])
    pq.write_table(pa.table(columns, schema=INDEX_SCHEMA), path, compression="zstd")


def read_index(path: Path) -> Index:
    """The index of a set. Raises DataError when it cannot be read, Damaged when it has other columns."""
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise unreadable(path, error, f"the index cannot be read ({error})", again=AGAIN) from error
    except pa.ArrowInvalid as error:
        raise damaged(str(path), f"the index cannot be read ({error})") from error
    if table.schema not in (INDEX_SCHEMA, _UNGROUPED):
        raise damaged(str(path), f"the index has other columns than {', '.join(INDEX_SCHEMA.names)}")
    keys = table["key"].to_pylist()
    groups = table["group"].to_pylist() if "group" in table.schema.names else None
    return Index(keys, table["scene"].to_pylist(), {side: _places(table, side, keys) for side in SIDES}, groups)


def _places(table: pa.Table, side: Side, keys: list[str]) -> Places:
    *numbers, dtype = [table[f"{side}_{name}"] for name in Member._fields]
    filled = [column.fill_null(-1).to_numpy().astype(np.int64, copy=False) for column in numbers]
    numbers_N6 = np.stack(filled, axis=1)
    if side == "gt":  # the first of the samples that share a clean image has named it
        places = (numbers_N6[:, 0] << 40) + numbers_N6[:, 1]
        _, first, which = np.unique(places, return_index=True, return_inverse=True)
        keys = [keys[row] for row in first[which].tolist()]
    return Places(numbers_N6, dtype.fill_null("").to_pylist(), keys)


def damaged(path: str, what: str) -> Damaged:
    """The error for a file of a prepared set that is not what was written."""
    return Damaged(what, where=path, hint=AGAIN)
