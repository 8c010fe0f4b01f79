"""The launcher brings up clusters on loopback, with their tokens, and `bench run --address` works through them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.flow.bench import TINY, Bench

pytestmark = pytest.mark.xdist_group("tiny")

LAUNCHER = Path(__file__).parents[2] / "launchers" / "ray_node.sh"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nodes:
    """The nodes that a test has started, each in a process group of its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.port = bench, free_port()
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, role: str, *, cpus: int = 1, before: Sequence[str] = (), name: str = "") -> subprocess.Popen[str]:
        """One node, behind a command that ends in `exec "$@"`. A worker waits for its head by itself."""
        env = self.bench.env() | {"CPUS": str(cpus), "GPUS": "0", "PYTHON": sys.executable}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        log = self.bench.cwd / f"{name or role}.log"
        command = [*before, str(LAUNCHER), role, str(self.port) if role == "head" else self.address]
        with open(log, "w", encoding="utf-8") as out:
            node = subprocess.Popen(
                command, env=env, stdout=out, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        self.processes.append(node)
        return node

    def wait_for(self, count: int) -> None:
        """Waits until so many nodes have joined."""
        command = [sys.executable, "-m", "harness.scheduling.await_nodes", self.address, str(count), "100"]
        done = subprocess.run(command, env=self.bench.env(), capture_output=True, text=True, check=False)
        logs = "".join(path.read_text() for path in self.bench.cwd.glob("*.log"))
        if "timed out during startup" in logs:
            pytest.skip("this machine is too busy: Ray gives its servers 30 s to start")
        assert done.returncode == 0, f"{done.stderr}\n{logs}"

    def stop(self) -> None:
        for node in self.processes:
            for number in (signal.SIGCONT, signal.SIGKILL):
                try:
                    os.killpg(node.pid, number)
                except ProcessLookupError:
                    break
        for node in self.processes:
            node.wait(timeout=60)


@pytest.fixture
def nodes(bench: Bench) -> Iterator[Nodes]:
    started = Nodes(bench)
    yield started
    started.stop()


def test_two_nodes_give_the_numbers_of_one(finished, bench, nodes, tmp_path):
    nodes.start("head")
    nodes.start("worker")
    nodes.wait_for(2)
    out = tmp_path / "out"
    bench.ok("run", TINY, "--out", out, "--address", nodes.address, "--tracker", "none")
    tables = [bench.ok("leaderboard", folder, "--format", "csv") for folder in (out, finished)]
    assert tables[0] == tables[1]
    assert not list(out.glob(".nonce*"))


def until_it_trains(run: subprocess.Popen[str], out: Path) -> None:
    deadline = time.monotonic() + 400
    while not list(out.glob("cells/*/events.jsonl")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def can_unshare() -> bool:
    try:
        return subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_unshare(), reason="this machine allows no mounts of one's own")
def test_a_node_without_the_storage_is_named_and_gets_no_jobs(bench, nodes, tmp_path):
    """One of two nodes sees another folder in the place of the output folder."""
    out = tmp_path / "out"
    out.mkdir()
    nodes.start("head")
    elsewhere = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {out} && exec "$@"', "sh"]
    nodes.start("worker", cpus=2, before=elsewhere)
    nodes.wait_for(2)
    done = bench.ok("run", TINY, "--out", out, "--address", nodes.address, "--tracker", "none", "--limit", "1")
    lines = [line for line in done.splitlines() if "gets no jobs" in line]
    assert len(lines) == 1
    assert f"the output folder {out} is another folder there" in lines[0]
    assert done.index("gets no jobs") < done.index("[1/")
    assert "FAILED" not in done


@pytest.mark.slow
@pytest.mark.skipif(not can_unshare(), reason="this machine allows no mounts of one's own")
@pytest.mark.parametrize("at_once", [True, False], ids=["from the start", "later"])
def test_a_node_that_cannot_write_is_named_and_its_jobs_go_elsewhere(finished, bench, nodes, tmp_path, at_once):
    """One of two nodes sees the output folder, and from the start or in mid-run it may only read there."""
    out = tmp_path / "out"
    out.mkdir()
    nodes.start("head")
    mounts = f"mount --bind {out} {out} && mount -o remount,bind,ro {out}"
    before = f'{mounts} && exec "$@"' if at_once else 'exec "$@"'
    bad = nodes.start("worker", before=["unshare", "-m", "sh", "-c", before, "sh"], name="bad")
    nodes.wait_for(2)
    run = bench.start("run", TINY, "--out", out, "--address", nodes.address, "--tracker", "none")
    until_it_trains(run, out)
    if not at_once:
        subprocess.run(["nsenter", "-t", str(bad.pid), "-m", "sh", "-c", mounts], check=True)
    said, _ = run.communicate(timeout=400)
    assert run.returncode == 0, said
    (line,) = [line for line in said.splitlines() if "gets no jobs" in line]
    assert f"the output folder {out} cannot be written there: Read-only file system" in line
    assert "FAILED" not in said
    tables = [bench.ok("leaderboard", folder, "--format", "csv") for folder in (out, finished)]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_the_loss_of_the_head_is_said_and_ends_the_run(bench, nodes, tmp_path):
    head = nodes.start("head", cpus=2)
    nodes.wait_for(1)
    out = tmp_path / "out"
    command = ("run", TINY, "--out", out, "--tracker", "none", "--set", "defaults.recipe.steps=20000")
    run = bench.start(*command, "--address", nodes.address)
    deadline = time.monotonic() + 400
    while not list(out.glob("cells/*/events.jsonl")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(head.pid, signal.SIGKILL)
    began = time.monotonic()
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 1, said
    assert "the head of the Ray cluster does not answer any more" in said
    assert "run the same command" in said
    assert time.monotonic() - began < 15
    assert "Traceback" not in said
    print(f"the head's loss ended the run after {time.monotonic() - began:.1f} s")


@pytest.mark.slow
def test_a_training_on_two_nodes_has_a_process_on_each(bench, nodes, tmp_path):
    nodes.start("head")
    nodes.start("worker")
    nodes.wait_for(2)
    out = tmp_path / "out"
    command = ["run", TINY, "--out", out, "--tracker", "none", "--limit", "2", "--set", "run.nodes=2"]
    said = bench.ok(*command, "--address", nodes.address)
    assert "FAILED" not in said
    (log,) = out.glob("jobs/train-*.rank1.log")
    assert "rank 1 of 2" in log.read_text()


@pytest.mark.slow
def test_the_jobs_of_a_lost_node_move_and_a_new_node_is_used(finished, bench, nodes, tmp_path):
    nodes.start("head")
    lost = nodes.start("worker", name="lost")
    nodes.wait_for(2)
    out = tmp_path / "out"
    run = bench.start("run", TINY, "--out", out, "--address", nodes.address, "--tracker", "none")
    until_it_trains(run, out)
    os.killpg(lost.pid, signal.SIGKILL)
    nodes.start("worker", name="new")
    said, _ = run.communicate(timeout=400)
    assert run.returncode == 0, said
    tables = [bench.ok("leaderboard", folder, "--format", "csv") for folder in (out, finished)]
    assert tables[0] == tables[1]


def test_the_launcher_says_how_it_is_used():
    done = subprocess.run([LAUNCHER], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "launchers/ray_node.sh head [PORT]" in done.stderr
