"""The thread between a run and its tracker."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from harness.tracking.background import Background


class Gate:
    """A tracker that waits to be let through and remembers its batches."""

    def __init__(self, reasons: Mapping[str, str] | None = None) -> None:
        self.open, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.reasons = dict(reasons or {})
        self.closed = False

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        return ()

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        self.entered.set()
        assert self.open.wait(30)
        self.threads.add(threading.get_ident())
        self.batches.append(list(cell_ids))
        return {cell_id: self.reasons[cell_id] for cell_id in cell_ids if cell_id in self.reasons}

    def close(self) -> None:
        self.closed = True


def test_what_is_told_meanwhile_goes_in_one_batch_without_repeats_and_from_one_thread():
    gate = Gate()
    background = Background(gate, lambda reason: None)
    background.tell("a")
    assert gate.entered.wait(30)
    for cell_id in ("b", "c", "b"):
        background.tell(cell_id)
    gate.open.set()
    assert background.finish(30) == {}
    assert gate.batches == [["a"], ["b", "c"]]
    assert len(gate.threads) == 1
    assert threading.get_ident() not in gate.threads
    assert gate.closed


def test_a_cell_that_got_through_later_is_not_behind():
    gate = Gate({"a": "down", "b": "down"})
    warnings: list[str] = []
    gate.open.set()
    background = Background(gate, warnings.append)
    background.tell("a")
    background.tell("b")
    while len([c for batch in gate.batches for c in batch]) < 2:
        pass
    gate.reasons = {"b": "still down"}
    background.tell("a")
    background.tell("b")
    assert background.finish(30) == {"b": "still down"}
    assert warnings == ["down"]


def test_a_tracker_that_hangs_holds_nobody_up():
    gate = Gate()
    background = Background(gate, lambda reason: None)
    background.tell("a")
    assert background.finish(0.05) == {"a": "not confirmed within 0.05 s"}
    gate.open.set()


def test_what_could_not_be_mirrored_is_tried_again_at_the_end():
    gate = Gate({"a": "down"})
    gate.open.set()
    warnings: list[str] = []
    background = Background(gate, warnings.append)
    background.tell("a")
    while not gate.batches:
        pass
    gate.reasons = {}
    assert background.finish(30) == {}
    assert gate.batches == [["a"], ["a"]]
    assert warnings == ["down"]


def test_a_server_that_is_back_gets_what_it_missed_with_the_next_cell(monkeypatch):
    monkeypatch.setattr("harness.tracking.background.AGAIN", 0.0)
    gate = Gate({"a": "down"})
    gate.open.set()
    background = Background(gate, lambda reason: None)
    background.tell("a")
    while not gate.batches:
        pass
    gate.reasons = {}
    background.tell("b")
    while len(gate.batches) < 2:
        pass
    assert gate.batches[1] == ["b", "a"]
    assert background.finish(30) == {}
