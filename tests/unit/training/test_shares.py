"""The time of trainings that take turns: shares that add up to all of it."""

from __future__ import annotations

import pytest

from harness.training import together


class Time:
    """A clock that stands still until it is set."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_the_shares_add_up_to_the_time_that_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(together, "time", time)
    first, second, third = shares = [together.Share() for _ in range(3)]
    time.now += 5.0  # before they begin: nobody's
    for share in shares:
        share.run(1 / 3)
    time.now += 9.0
    assert [share() for share in shares] == pytest.approx([3.0, 3.0, 3.0])
    first.run(1 / 2)
    second.run(1 / 2)
    third.run(0.0)
    time.now += 4.0
    assert [share() for share in shares] == pytest.approx([5.0, 5.0, 3.0])
    second.run(0.0)
    first.run(1.0)
    time.now += 2.0
    assert sum(share() for share in shares) == pytest.approx(9.0 + 4.0 + 2.0)
