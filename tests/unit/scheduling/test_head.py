"""The watch on a cluster's head: a listening port of this process stands for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from harness.core.errors import HarnessError
from harness.scheduling import head
from harness.scheduling.head import HeadWatch
from tests.waiting import wait_for

INITIAL = {"INTERVAL": head.INTERVAL, "PATIENCE": head.PATIENCE, "GRACE": head.GRACE}


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
    wait_for(lambda: watch.is_lost, "the head is lost", 30, every=0.02)
    with pytest.raises(HarnessError, match="the head of the Ray cluster does not answer any more") as caught:
        watch.check()
    assert "run the same command" in caught.value.hint
    watch.close()
    time.sleep(0.4)
    assert exits == []  # the run ends by itself


def test_a_run_that_is_held_up_is_ended_and_told_why(port, exits, capsys):
    tidied: list[bool] = []
    HeadWatch("{}:{}".format(*port.getsockname()), lambda: tidied.append(not exits))
    port.close()
    wait_for(lambda: exits, "the process ends", 30, every=0.02)
    assert (exits, tidied) == ([1], [True])
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "the head of the Ray cluster does not answer any more" in said


def test_a_run_is_ended_though_the_folders_cannot_be_tidied(port, exits, monkeypatch):
    monkeypatch.setattr(head, "TIDYING", 0.1)
    held = threading.Event()
    HeadWatch("{}:{}".format(*port.getsockname()), held.wait)
    port.close()
    wait_for(lambda: exits, "the process ends", 30, every=0.02)
    held.set()


def test_a_head_that_takes_connections_and_answers_nothing_is_lost(port, monkeypatch):
    monkeypatch.setattr(head, "SILENCE", 0.2)
    watch = watch_of(port)
    watch.note(heard=False)
    watch.note(heard=True)
    time.sleep(0.5)
    assert not watch.is_lost
    watch.note(heard=False)
    wait_for(lambda: watch.is_lost, "the head is lost", 30, every=0.02)
    watch.close()


def test_a_watch_that_is_closed_says_nothing(port, exits):
    watch = watch_of(port)
    watch.close()
    port.close()
    time.sleep(0.5)
    assert (watch.is_lost, exits) == (False, [])


LEAVES = """
import atexit, os, sys
from harness.scheduling.head import HeadWatch

atexit.register(lambda: os.abort())  # as the farewell of a library whose server is gone
watch = HeadWatch("127.0.0.1:1")
watch.leave()
print("said", file=sys.stderr, end="")
sys.exit(3)
"""


def test_a_run_whose_head_is_lost_ends_as_one_that_failed_whatever_comes_at_the_end_of_a_process():
    done = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (1, "said")


def test_a_run_that_has_taken_note_is_given_time_to_write_down_what_it_has(port, exits, monkeypatch):
    monkeypatch.setattr(head, "END", 60.0)
    watch = watch_of(port)
    port.close()
    wait_for(lambda: watch.is_lost, "the head is lost", 30, every=0.02)
    with pytest.raises(HarnessError):
        watch.check()
    time.sleep(0.5)
    assert exits == []
    watch.close()


def test_the_loss_of_the_head_is_said_within_fifteen_seconds():
    """At worst: it answered just before it went, and its machine does not even refuse."""
    looks = -(-INITIAL["PATIENCE"] // (2 * INITIAL["INTERVAL"]))
    assert looks * 2 * INITIAL["INTERVAL"] + INITIAL["GRACE"] <= 15
