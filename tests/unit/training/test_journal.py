"""The loss curve, whose numbers come from a device that the host does not wait for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import pytest
import torch
from torch import Tensor

from harness.core.errors import HarnessError
from harness.training import journal
from harness.training.engines.base import Engine
from harness.training.journal import Copied, Journal, LossCurve, Pending


@dataclass
class Ranks:
    """What a curve asks of an engine, and in which order."""

    ranks: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    asked: list[str] = field(default_factory=list)

    def mean(self, value: Tensor) -> Tensor:
        self.asked.append("mean")
        return value

    def gather(self, value: float) -> list[float]:
        self.asked.append("gather")
        return [value] * self.ranks


@dataclass
class Lines:
    """A journal in memory."""

    written: list[dict[str, Any]] = field(default_factory=list)

    def write(self, event: str, **fields: Any) -> None:
        assert event == "step"
        self.written.append(fields)

    @property
    def steps(self) -> list[int]:
        return [line["step"] for line in self.written]


class Late(Copied):
    """A number that is there once the device has come so far, or is waited for."""

    done: ClassVar[set[int]] = set()
    waited: ClassVar[list[int]] = []
    made: ClassVar[list[Late]] = []

    def __init__(self, value: Tensor) -> None:
        super().__init__(value)
        self.step = len(self.made)
        self.made.append(self)

    @property
    def at_once(self) -> bool:
        return False

    def there(self) -> bool:
        return self.step in self.done

    def number(self) -> float:
        if not self.there():
            self.waited.append(self.step)
            self.done.add(self.step)
        return super().number()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> type[Late]:
    """Numbers arrive when a test says so: `done` has those that have."""
    monkeypatch.setattr(Late, "done", set())
    monkeypatch.setattr(Late, "waited", [])
    monkeypatch.setattr(Late, "made", [])
    monkeypatch.setattr(journal, "Copied", Late)
    return Late


LOSSES = torch.rand(9, generator=torch.Generator().manual_seed(0)).unbind()


def curve(ranks: Ranks | None = None, **before: Any) -> tuple[LossCurve, Lines]:
    lines = Lines()
    given = {"pending": Pending(), **before}
    return LossCurve(cast(Journal, lines), cast(Engine, ranks or Ranks()), **given), lines


def run(of: LossCurve, *, first: int = 1, last: int = 9, every: int = 3) -> None:
    for step in range(first, last + 1):
        of.add(LOSSES[step - 1], images=2)
        if step % every == 0:
            of.line(step, steps=9, lr=step / 10)


def test_on_the_host_lines_are_written_at_once() -> None:
    found, lines = curve()
    run(found, last=3)
    (line,) = lines.written
    assert (line["step"], line["steps"], line["lr"]) == (3, 9, 0.3)
    assert line["loss"] == found.last == float(sum(LOSSES[:3], torch.zeros(()))) / 3
    run(found, first=4, last=6)
    assert lines.steps == [3, 6]


def test_late_numbers_make_the_same_curve(late: type[Late]) -> None:
    found, lines = curve()
    run(found, last=5)
    assert lines.steps == []
    late.done.add(0)
    found.add(LOSSES[5], images=2)
    assert lines.steps == [3]
    assert late.waited == []
    found.line(6, steps=9, lr=0.6)
    run(found, first=7)
    assert lines.steps == [3, 6]
    assert late.waited == [1], "the line before is waited for at the next one alone"
    found.pending(9)
    assert lines.steps == [3, 6, 9]
    told = [(line["step"], line["lr"], line["loss"]) for line in lines.written]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "Copied", Copied)
        at_once, others = curve()
        run(at_once)
    assert told == [(line["step"], line["lr"], line["loss"]) for line in others.written]
    assert found.last == at_once.last == told[-1][-1]


def test_ranks_come_together_in_one_order_whatever_is_late(late: type[Late]) -> None:
    orders = []
    for done in (set(), {0}, {0, 1, 2}):
        late.made.clear()
        late.done.clear()
        late.done.update(done)
        ranks = Ranks(2)
        found, _ = curve(ranks)
        run(found)
        found.pending(9)
        orders.append(ranks.asked)
    assert orders[0] == orders[1] == orders[2] == ["mean"] * 3 + ["gather"]


def test_what_is_pending_goes_into_the_next_line(late: type[Late]) -> None:
    whole, expected = curve()
    run(whole)
    whole.settle()
    first, before = curve()
    run(first, last=4)
    pending = first.pending(4)
    assert (before.steps, pending.steps) == ([3], 1)
    rest, after = curve(pending=pending, last=first.last)
    assert rest.last == before.written[-1]["loss"]
    run(rest, first=5)
    rest.settle()
    assert [line["loss"] for line in before.written + after.written] == [line["loss"] for line in expected.written]


def test_a_loss_that_is_not_finite_ends_it_where_all_ranks_are(late: type[Late]) -> None:
    found, lines = curve()
    found.add(torch.tensor(math.nan), images=2)
    found.line(1, steps=9, lr=0.1)
    late.done.add(0)
    found.add(LOSSES[1], images=2)  # another rank may not have seen it yet
    with pytest.raises(HarnessError, match="at or before step 1") as caught:
        found.line(2, steps=9, lr=0.1)
    assert caught.value.kind == "nan"
    assert lines.written == []
    other, _ = curve()
    other.add(torch.tensor(math.inf), images=2)
    other.line(4, steps=9, lr=0.1)
    with pytest.raises(HarnessError, match="at or before step 4"):
        other.pending(5)


@pytest.mark.parametrize("look", [lambda of: of.line(3, steps=9, lr=0.1), lambda of: of.pending(3)])
def test_on_the_host_it_ends_at_once(look: Any) -> None:
    found, lines = curve()
    found.add(torch.tensor(math.nan), images=2)
    with pytest.raises(HarnessError, match="at or before step 3"):
        look(found)
    assert lines.written == []
