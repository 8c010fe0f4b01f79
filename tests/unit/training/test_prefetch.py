"""Work ahead of the training: order, bounds, errors, and the end of the threads."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest
import torch

from harness.api.batch import Batch
from harness.core.errors import DataError
from harness.training.prefetch import Ahead, mapped, on_device


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize("number", [1, 2, 8])
def test_results_come_in_the_order_of_the_items_whoever_is_first(number: int) -> None:
    turn = threading.Event()

    def late(item: int) -> int:
        if item == 0 and number > 1:
            assert turn.wait(10)
        turn.set()
        return -item

    given = list(Ahead(late, range(10), together=3, threads=number, most=6))
    assert given == [[0, -1, -2], [-3, -4, -5], [-6, -7, -8], [-9]]
    assert threads() == []


def test_an_error_comes_in_its_place_and_ends_the_threads() -> None:
    def failing(item: int) -> int:
        if item == 4:
            raise DataError("gone")
        return item

    got: list[list[int]] = []
    with pytest.raises(DataError, match="gone"):
        for items in Ahead(failing, range(100), together=2, threads=4, most=8):
            got.append(items)
    assert got == [[0, 1], [2, 3]]
    assert threads() == []


def test_an_error_of_the_items_themselves_ends_the_threads() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        list(Ahead(abs, items(), together=1, threads=2, most=4))
    assert threads() == []


def test_no_more_is_taken_than_may_be_held() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    running = iter(Ahead(abs, items(), together=2, threads=2, most=6))
    for given in range(1, 10):
        next(running)
        assert len(taken) == 2 * given + 4, "two are handed over, four are ahead"
    running.close()
    assert threads() == []


def test_a_batch_is_taken_whole_even_where_it_exceeds_the_budget() -> None:
    assert list(Ahead(abs, range(4), together=4, threads=1, most=1)) == [[0, 1, 2, 3]]


def batches(closed: list[bool]) -> Generator[Batch, None, None]:
    try:
        for number in range(3):
            yield Batch(torch.full((1, 3, 2, 2), number), None, None, [str(number)])
    finally:
        closed.append(True)


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
def test_without_a_cuda_device_batches_pass_as_they_are(device: torch.device | None) -> None:
    closed: list[bool] = []
    running = on_device(batches(closed), device)
    assert [next(running).keys, next(running).keys] == [["0"], ["1"]]
    running.close()
    assert closed == [True]


def test_a_change_reaches_every_tensor_and_keeps_the_rest() -> None:
    one = torch.ones(1, 3, 2, 2)
    whole = Batch(one, 2 * one, None, ["k"], 3 * one, {"sigma": torch.tensor([5.0])})
    changed = mapped(whole, lambda tensor: -tensor)
    assert torch.equal(changed.lq_BCHW, -one)
    assert changed.gt_BCHW is not None
    assert changed.clean_BCHW is not None
    assert torch.equal(changed.gt_BCHW + changed.clean_BCHW, -5 * one)
    assert (changed.prior_BD, changed.keys, changed.settings) == (None, ["k"], whole.settings)
