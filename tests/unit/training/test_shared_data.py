"""Training data that several trainings read at once: read once, and to each its own."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import Any, cast

import pytest
import torch

from harness.api.batch import Batch
from harness.data.features import FeatureRows
from harness.training.one_pass import OnePass
from harness.training.shared_data import Streams


class Rows:
    """A feature set of constant rows."""

    def __init__(self, name: str, dim: int) -> None:
        self.manifest_sha256, self.dim = name, dim


class Loader:
    """Batches of 2 that tell where they begin; broken from some position on."""

    opened: list[tuple[int, int, frozenset[str]]] = []  # noqa: RUF012 - a fixture empties it
    given = closed = 0
    broken_at = 1000

    def __init__(self, stage: int, position: int, reads: Collection[str], sets: Sequence[Any]) -> None:
        Loader.opened.append((stage, position, frozenset(reads)))
        self.position, self.sets = position, sets

    def to(self, device: torch.device) -> Loader:
        return self

    def __iter__(self) -> Generator[Batch, None, None]:
        try:
            while True:
                if self.position >= self.broken_at:
                    raise OSError("the disk is gone")
                Loader.given += 1
                rows = [torch.full((2, each.dim), float(each.dim)) for each in self.sets]
                lq_BCHW = torch.full((2, 3, 4, 4), float(self.position))
                self.position += 2
                yield Batch(lq_BCHW, None, torch.cat(rows, 1) if rows else None, ["a", "b"])
        finally:
            Loader.closed += 1


@pytest.fixture(autouse=True)
def fresh() -> None:
    Loader.opened, Loader.given, Loader.closed, Loader.broken_at = [], 0, 0, 1000


def streams(*rows: Rows | None) -> Streams:
    found = Streams(OnePass())
    for name, each in enumerate(rows):
        found.add(str(name), cast(Any, Loader), [cast(FeatureRows | None, each)] * 2)
    Loader.opened.clear()  # to see whether each set of rows fits
    return found


def test_a_batch_is_read_once_and_everyone_gets_a_copy_and_rows_of_ones_own() -> None:
    found = streams(Rows("a", 3), None, Rows("b", 5), Rows("a", 3))
    readers = [iter(found.open(str(name), 0, 0, {"pair"})) for name in range(4)]
    for position in (0.0, 2.0, 4.0):
        for reader, dim in zip(readers, (3, None, 5, 3), strict=True):
            batch = next(reader)
            assert (batch.lq_BCHW == position).all()
            assert dim is None if batch.prior_BD is None else (batch.prior_BD == dim).all()
            assert batch.prior_BD is None or batch.prior_BD.is_contiguous()
            batch.lq_BCHW.zero_()
    assert (Loader.opened, Loader.given) == ([(0, 0, frozenset({"pair"}))], 3)
    for reader in readers:
        assert Loader.closed == 0
        reader.close()
    assert Loader.closed == 1


@pytest.mark.parametrize(("stage", "position", "reads"), [(1, 0, {"pair"}), (0, 8, {"pair"}), (0, 0, {"unpaired"})])
def test_who_wants_something_else_reads_alone(stage: int, position: int, reads: set[Any]) -> None:
    found = streams(None, None)
    first, second = found.open("0", 0, 0, {"pair"}), found.open("1", stage, position, reads)
    assert len(Loader.opened) == 2
    assert (next(iter(first)).lq_BCHW == 0).all()
    assert (next(iter(second)).lq_BCHW == position).all()


def test_one_that_was_behind_joins_where_it_has_caught_up() -> None:
    found = streams(None, None, None)
    first = iter(found.open("0", 0, 0, {"pair"}))
    for _ in range(3):
        next(first)
    (second, third) = (found.open(name, 0, at, {"pair"}) for name, at in (("1", 4), ("2", 6)))
    assert [float(next(iter(each)).lq_BCHW[0, 0, 0, 0]) for each in (second, third)] == [4.0, 6.0]
    assert (second.position, third.position) == (6, 8)
    assert len(Loader.opened) == 1


def test_a_stage_after_it_begins_a_stream_of_its_own() -> None:
    found = streams(None, None)
    readers = [iter(found.open(str(name), 0, 0, {"pair"})) for name in range(2)]
    for reader in readers:
        next(reader)
    later = []
    for name, reader in enumerate(readers):  # as in trainings that take turns
        reader.close()
        later.append(iter(found.open(str(name), 1, 2, {"pair"})))
        assert (next(later[-1]).lq_BCHW == 2).all()
    assert Loader.opened == [(0, 0, frozenset({"pair"})), (1, 2, frozenset({"pair"}))]


def test_all_are_told_what_cannot_be_read() -> None:
    Loader.broken_at = 2
    found = streams(None, None)
    readers = [iter(found.open(str(name), 0, 0, {"pair"})) for name in range(2)]
    for reader in readers:
        next(reader)
    for reader in readers:
        with pytest.raises(OSError, match="the disk is gone"):
            next(reader)
