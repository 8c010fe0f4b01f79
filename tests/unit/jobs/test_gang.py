"""Process groups that begin and end with a job: real gloo, two processes, and everything that can happen to them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from torch._C._distributed_c10d import HashStore

from harness.api.running import ALONE, JobOutcome, Seat
from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.jobs import gang
from harness.jobs.classify import classify
from harness.jobs.gang import gathered, interface_of
from harness.jobs.verdict import decide

PROCESS = Path(__file__).with_name("gang_process.py")


class Pair:
    """Two processes that enter groups together."""

    def __init__(self, patience: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(PROCESS), str(rank), str(patience)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            for rank in range(2)
        ]

    def begin(self, what: str) -> None:
        port = free_port()
        for rank in range(2):
            self.tell(rank, what, port)

    def tell(self, rank: int, what: str, port: int, name: str = "gang") -> None:
        self.processes[rank].stdin.write(f"{what} {port} {name}\n")
        self.processes[rank].stdin.flush()

    def heard(self, rank: int) -> dict[str, Any]:
        return json.loads(self.processes[rank].stdout.readline())

    def both(self, what: str) -> list[dict[str, Any]]:
        self.begin(what)
        return [self.heard(rank) for rank in range(2)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def awaited(condition: Callable[[], bool]) -> None:
    while not condition():  # as long as the test may run
        time.sleep(0.02)


@contextmanager
def pair(patience: int) -> Iterator[Pair]:
    made = Pair(patience)
    try:
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[Pair]:
    with pair(patience=600) as made:
        yield made


@pytest.mark.parametrize("count", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_warm_processes_begin_and_end_many_groups_and_keep_nothing(warm: Pair, count: int) -> None:
    said = [warm.both("work") for _ in range(5)]
    said += [warm.both("raise" if number % 5 == 2 else "work") for number in range(count)]
    for each in said:
        broken = each[0]["what"] == "raise"
        assert [one["kind"] for one in each] == (["worker_lost", "ValueError"] if broken else ["", ""]), each
        for rank, one in enumerate(each):
            assert one["seen"] == {
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "GLOO_SOCKET_IFNAME": interface_of("127.0.0.1"),
            }
            assert set(one["left"].values()) == {None}
            assert not one["leaks"]
            assert not one["begun"]
    for rank in range(2):
        for what in ("open", "threads"):
            counts = [each[rank][what] for each in said]
            assert max(counts[5:]) <= counts[4], (rank, what, counts)


def test_two_gangs_that_are_told_one_port_never_mix_and_the_one_without_a_store_is_lost(warm: Pair) -> None:
    port = free_port()

    def talking(pair: Pair, rank: int) -> bool:
        """Whether a process is connected with the store."""
        lines = psutil.Process(pair.processes[rank].pid).net_connections("tcp")
        return any(line.raddr and line.raddr.port == port and line.status == "ESTABLISHED" for line in lines)

    with pair(patience=600) as other:
        warm.tell(0, "work", port, "one")
        awaited(lambda: talking(warm, 0))
        other.tell(1, "work", port, "two")
        awaited(lambda: talking(other, 1))
        other.tell(0, "work", port, "two")
        lost = other.heard(0)
        assert (lost["kind"], "address already in use" in lost["error"].lower()) == ("worker_lost", True), lost
        warm.tell(1, "work", port, "one")
        assert [warm.heard(rank)["kind"] for rank in range(2)] == ["", ""]
        assert other.heard(1)["kind"] == "worker_lost"
        assert [one["kind"] for one in other.both("work")] == ["", ""]


def test_who_waits_for_the_others_asks_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    store, pauses = HashStore(), []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            store.set("left 1", "")

    monkeypatch.setattr(gang, "sleep", sleep)
    gang.Gang(Seat(0, 2, 0, 2), 600.0, store=store).end_together()
    assert pauses == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.2, 0.2])


def test_a_reason_of_one_process_frees_the_other_at_once_and_is_told_there(warm: Pair) -> None:
    for what, kind, words in (("raise", "bug", "mine"), ("memory", "memory", "Tried to allocate")):
        first, second = warm.both(what)  # well before the patience of 600 s, or this test does not end
        assert first["kind"] == "worker_lost"
        assert f"rank 1 failed ({kind}): " in first["error"]
        assert words in first["error"]
        assert words in second["error"]
    first, second = warm.both("late")
    assert (first["kind"], second["kind"]) == ("KeyError", "worker_lost")
    assert "rank 0 failed (bug): KeyError: 'late'" in second["error"]


def test_what_is_made_of_a_broken_exchange_hides_neither_it_nor_a_reason_before_it(warm: Pair) -> None:
    first, second = warm.both("wrap")
    assert (first["kind"], second["kind"]) == ("worker_lost", "ValueError")
    assert "rank 1 failed (bug): ValueError: mine" in first["error"]
    first, second = warm.both("clean")
    assert (first["kind"], second["kind"]) == ("ValueError", "data")
    assert second["error"] == "the shard is damaged"


def test_groups_that_something_keeps_alive_are_known(warm: Pair) -> None:
    said = [[one["leaks"] for one in warm.both(what)] for what in ("keep", "work", "keep", "work", "drop", "work")]
    assert said == [[False] * 2, [False] * 2, [True] * 2, [True] * 2, [True] * 2, [False] * 2]


def test_a_killed_process_breaks_the_group_at_once() -> None:
    with pair(patience=600) as gang:
        gang.begin("kill")
        said = gang.heard(0)
        assert said["kind"] == "worker_lost"
        assert "lost each other: the connection to another process broke, which may have ended" in said["error"]
        assert gang.processes[1].wait() == -signal.SIGKILL


def test_a_frozen_process_is_waited_for_a_little_longer_than_the_patience() -> None:
    """Whoever watches the gang sees which one it is, and comes first."""
    with pair(patience=4) as gang:
        gang.begin("stop")
        said = gang.heard(0)
        assert said["kind"] == "worker_lost"
        assert "lost each other: another process has not answered for 5 s" in said["error"]
        assert psutil.Process(gang.processes[1].pid).status() == psutil.STATUS_STOPPED


def test_a_gang_of_one_begins_no_group_and_sees_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("PMI_SIZE", "4")
    with gathered(ALONE, Run(gpus=0)) as gang:
        assert "WORLD_SIZE" not in os.environ
        assert "PMI_SIZE" not in os.environ
        gang.end_together()
    assert os.environ["WORLD_SIZE"] == "4"
    assert os.environ["PMI_SIZE"] == "4"


def test_a_peer_that_never_comes_is_lost_and_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "the user's own")
    monkeypatch.delenv("NCCL_SOCKET_IFNAME", raising=False)
    before = dict(os.environ)
    with socket.socket() as taken:  # bound and not listening: nobody meets here
        taken.bind(("127.0.0.1", 0))
        seat = Seat(1, 2, 1, 2, f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1")
        with pytest.raises(HarnessError) as raised, gathered(seat, Run(gpus=0, patience=1)):
            pytest.fail("there is no group to be in")
    assert raised.value.kind == "worker_lost"
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", [name for name, found in psutil.net_if_addrs().items() if found])
def test_the_interface_is_the_one_that_has_the_address(name: str) -> None:
    for each in psutil.net_if_addrs()[name]:
        if each.family in (socket.AF_INET, socket.AF_INET6):
            assert interface_of(each.address) == name


def test_an_address_of_another_machine_has_no_interface_here() -> None:
    assert interface_of("198.51.100.7") == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[/x/gloo/transport/tcp/pair.cc:561] Connection closed by peer [10.0.0.2]:1", "worker_lost"),
        ("[../gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 4000ms for recv", "worker_lost"),
        ("NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)", "worker_lost"),
        ("NCCL communicator was aborted on rank 1.", "worker_lost"),
        ("NCCL error: unhandled cuda error: out of memory", "memory"),
        ("Connection closed by peer", "bug"),
        ("mat1 and mat2 shapes cannot be multiplied", "bug"),
    ],
)
def test_only_a_broken_collective_counts_as_a_lost_worker(text: str, kind: str) -> None:
    assert classify(RuntimeError(text)) == kind


def outcome(rank: int, failure: str | None, *, noted: bool = False) -> JobOutcome:
    return JobOutcome("job", failure, f"of rank {rank}", rank=rank, noted=noted)


@pytest.mark.parametrize(
    ("outcomes", "rank"),
    [
        ([outcome(1, None), outcome(0, None)], 0),
        ([outcome(0, "worker_lost"), outcome(1, "memory")], 1),
        ([outcome(2, "worker_lost"), outcome(1, "worker_lost"), outcome(0, None)], 2),
        ([outcome(1, "data"), outcome(0, "data", noted=True)], 0),
        ([outcome(1, "data"), outcome(2, "bug"), outcome(0, "worker_lost")], 1),
    ],
)
def test_a_reason_counts_before_a_lost_peer_and_the_one_on_record_first(outcomes: list[JobOutcome], rank: int) -> None:
    assert decide(outcomes).rank == rank
