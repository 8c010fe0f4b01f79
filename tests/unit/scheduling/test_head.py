"""The watch on a cluster's head: a listening port of this process stands for it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from harness.core.errors import HarnessError
from harness.scheduling import head
from harness.scheduling.head import HeadWatch


@pytest.fixture(autouse=True)
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    for name, seconds in (("INTERVAL", 0.05), ("PATIENCE", 0.2), ("GRACE", 0.2)):
        monkeypatch.setattr(head, name, seconds)
    return codes


@pytest.fixture
def port() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def watch_of(server: socket.socket) -> HeadWatch:
    return HeadWatch("{}:{}".format(*server.getsockname()))


def test_a_head_that_answers_is_not_lost(port, exits):
    watch = watch_of(port)
    time.sleep(0.5)
    watch.check()
    watch.close()
    assert (watch.is_lost, exits) == (False, [])


def test_a_head_that_is_gone_ends_the_run_with_words(port, exits):
    watch = watch_of(port)
    port.close()
    wait_for(lambda: watch.is_lost)
    with pytest.raises(HarnessError, match="the head of the Ray cluster does not answer any more") as caught:
        watch.check()
    assert "run the same command" in caught.value.hint
    watch.close()
    time.sleep(0.4)
    assert exits == []  # the run ends by itself


def test_a_run_that_is_held_up_is_ended_and_told_why(port, exits, capsys):
    watch_of(port)
    port.close()
    wait_for(lambda: exits)
    assert exits == [1]
    assert "the head of the Ray cluster does not answer any more" in capsys.readouterr().err


def test_a_head_that_takes_connections_and_answers_nothing_is_lost(port, monkeypatch):
    monkeypatch.setattr(head, "SILENCE", 0.2)
    watch = watch_of(port)
    watch.note(heard=False)
    watch.note(heard=True)
    time.sleep(0.5)
    assert not watch.is_lost
    watch.note(heard=False)
    wait_for(lambda: watch.is_lost)
    watch.close()


def test_a_watch_that_is_closed_says_nothing(port, exits):
    watch = watch_of(port)
    watch.close()
    port.close()
    time.sleep(0.5)
    assert (watch.is_lost, exits) == (False, [])
