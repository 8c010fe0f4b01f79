"""The counter of what a GPU had to do. Its events are stood in for here: there is no GPU in tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harness.evaluation.busy import Use, at_work, measured
from harness.evaluation.infer import restore
from harness.models.assemble import RestorationModel
from harness.parts.backbones.nafnet import NAFNet

CUDA = torch.device("cuda")


class Clock:
    """A GPU on which every event comes a second after the one before it."""

    def __init__(self) -> None:
        self.events, self.waited = 0, 0

    def event(self, enable_timing: bool = False) -> Any:
        assert enable_timing
        event = SimpleNamespace(device=CUDA)
        event.record = lambda stream: setattr(event, "at", self._next())
        event.elapsed_time = lambda later: 1000.0 * (later.at - event.at)
        return event

    def _next(self) -> int:
        self.events += 1
        return self.events

    def synchronize(self, device: Any) -> None:
        self.waited += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(torch.cuda, "Event", found.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", found.synchronize)
    return found


def test_pieces_of_work_are_added_up(clock: Clock) -> None:
    with measured() as use:
        for _ in range(3):
            with at_work(CUDA):
                pass
        with pytest.raises(ValueError, match="broken"), at_work(CUDA):
            raise ValueError("broken")
    assert use.busy_seconds == 4.0
    assert use.seconds > 0
    assert clock.waited == 1


def test_without_anyone_who_asks_nothing_is_recorded(clock: Clock) -> None:
    with at_work(CUDA):
        pass
    with measured() as use:
        pass
    with at_work(CUDA):
        pass
    assert (clock.events, use.busy_seconds, use.idle_share) == (0, None, None)


def test_on_a_cpu_there_is_nothing_to_tell() -> None:
    network = NAFNet(width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    with measured() as use:
        restore(RestorationModel(network).eval(), np.zeros((8, 8, 3), np.float32), None, torch.device("cpu"))
    assert (use.busy_seconds, use.idle_share) == (None, None)
    assert use.seconds > 0


@pytest.mark.parametrize(("busy", "idle"), [(4.0, 0.0), (3.0, 0.25), (0.0, 1.0), (5.0, 0.0)])
def test_the_share_without_work(busy: float, idle: float) -> None:
    assert Use(seconds=4.0, busy_seconds=busy).idle_share == idle
