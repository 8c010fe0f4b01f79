"""What a job makes is on its way at each checkpoint; a store that is away holds up nothing, and its end counts."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.core.fence import Superseded
from harness.storage import copies, outgoing
from harness.storage.copies import Copy
from harness.storage.mirror import fetch
from harness.storage.outgoing import Outgoing, checkpointed
from harness.storage.sending import anybody
from harness.storage.store import Store
from tests.unit.storage.conftest import Machines, contents, write

CELL = "cells/0123456789ab"


def on_the_store(machines: Machines, name: str) -> dict[str, str]:
    copy = machines(name)
    fetch(copy, CELL)
    return contents(copy.files / CELL)


def step(copy: Copy, number: int) -> Path:
    """Writes a checkpoint, the loss up to it, and removes the one before."""
    for old in (copy.files / CELL / "checkpoint").glob("*/*"):
        old.unlink()
    return write(copy, CELL, **{f"checkpoint__step-{number}__model": f"w{number}", "events.jsonl": "l\n" * number})


def test_nothing_happens_outside_of_jobs_whose_results_go_to_a_store() -> None:
    checkpointed()


def test_a_checkpoint_is_sent_while_the_job_goes_on(machines: Machines) -> None:
    one = machines("one")
    sending = Outgoing(one, [CELL], anybody)
    with sending:
        step(one, 1)
        checkpointed()
        step(one, 2)  # while the first one is on its way
    assert on_the_store(machines, "two") == {"checkpoint/step-1/model": "w1", "events.jsonl": "l\n"}
    sending.finish()
    assert on_the_store(machines, "three") == {"checkpoint/step-2/model": "w2", "events.jsonl": "l\nl\n"}
    assert list((one.root / "outgoing").iterdir()) == []


def test_a_store_that_is_slow_holds_up_no_training_and_gets_the_newest_checkpoint(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, gate, plain = machines("one"), threading.Event(), Store.write
    sent: list[str] = []

    def slow(self: Store, key: str, content: bytes) -> None:
        gate.wait(20)
        sent.append(key)
        plain(self, key, content)

    monkeypatch.setattr(Store, "write", slow)
    with Outgoing(one, [CELL], anybody) as sending:
        for number in range(1, 6):
            step(one, number)
            checkpointed()
        gate.set()
    sending.finish()
    assert on_the_store(machines, "two")["checkpoint/step-5/model"] == "w5"
    assert len(sent) <= 3, "those in between are left out"


def test_a_store_that_is_away_at_a_checkpoint_costs_no_job_and_at_the_end_it_does(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machines("one")
    sending = Outgoing(one, [CELL], anybody)
    with monkeypatch.context() as patched:

        def lost(*_: object) -> None:
            raise ConnectionError("refused")

        patched.setattr("fsspec.implementations.memory.MemoryFileSystem.pipe_file", lost)
        with sending:
            step(one, 1)
            checkpointed()
        with pytest.raises(HarnessError, match="cannot be reached") as caught:
            sending.finish()
        assert caught.value.kind == "storage"
    sending.finish()
    assert on_the_store(machines, "two")["checkpoint/step-1/model"] == "w1"


def test_a_job_that_was_superseded_stops_at_its_next_checkpoint(machines: Machines) -> None:
    one = machines("one")

    def refused() -> None:
        raise Superseded("given up", kind="worker_lost")

    with Outgoing(one, [CELL], refused) as sending:
        step(one, 1)
        checkpointed()
        thread = sending._thread
        assert thread is not None
        for _ in range(200):
            if sending._superseded is not None:
                break
            thread.join(0.05)
        with pytest.raises(Superseded):
            checkpointed()
    assert not any(key.startswith("units/") for key in machines.objects())


def test_snapshots_of_processes_that_were_killed_are_removed(machines: Machines) -> None:
    one = machines("one")
    left = one.root / "outgoing"
    for name in ("999999999-aa", f"{os.getppid()}-bb"):
        (left / name).mkdir(parents=True)
    with Outgoing(one, [CELL], anybody):
        assert [path.name for path in left.iterdir()] == [f"{os.getppid()}-bb"]
    assert outgoing._current is None


def test_machines_whose_copies_lie_in_one_folder_leave_each_other_s_snapshots_and_locks_alone(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machines("home")
    living = one.root / "outgoing" / "999999999-aa"  # no process of the other machine has this number
    living.mkdir(parents=True)
    monkeypatch.setattr(socket, "gethostname", lambda: "node2.cluster")
    two = machines("home")
    assert two.root != one.root
    assert two.root.name.endswith(".node2-cluster")
    with copies.held_here(one, CELL, 0) as first, copies.held_here(two, CELL, 0) as second:
        assert (first, second) == (True, True)
    with Outgoing(two, [CELL], anybody):
        assert living.is_dir()
