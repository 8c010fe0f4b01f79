"""The launcher brings up a cluster of two nodes on loopback, and `bench run --address` works through it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flow.bench import TINY, Bench

pytestmark = pytest.mark.xdist_group("tiny")

LAUNCHER = Path(__file__).parents[2] / "launchers" / "ray_node.sh"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(bench: Bench, *arguments: str) -> subprocess.Popen[str]:
    """One node, in a process group of its own."""
    env = bench.env() | {"CPUS": "1", "GPUS": "0"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    log = open(bench.cwd / f"{arguments[0]}.log", "w", encoding="utf-8")  # noqa: SIM115  (the process keeps it open)
    command = [str(LAUNCHER), *arguments]
    return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def reachable(port: int, node: subprocess.Popen[str], patience: float = 60.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and node.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.2)
    return False


def test_two_nodes_give_the_numbers_of_one(finished, bench, tmp_path):
    bench.environment["RAY_AUTH_MODE"] = "disabled"  # else the nodes need a token that was made before them
    port = free_port()
    nodes = [start(bench, "head", str(port))]
    try:
        assert reachable(port, nodes[0]), (bench.cwd / "head.log").read_text()
        nodes.append(start(bench, "worker", f"127.0.0.1:{port}"))
        out = tmp_path / "out"
        bench.ok("run", TINY, "--out", out, "--address", f"127.0.0.1:{port}", "--tracker", "none")
        tables = [bench.ok("leaderboard", folder, "--format", "csv") for folder in (out, finished)]
        assert tables[0] == tables[1]
    finally:
        for node in nodes:
            os.killpg(node.pid, signal.SIGTERM)
        for node in nodes:
            node.wait(timeout=60)


def test_the_launcher_says_how_it_is_used():
    done = subprocess.run([LAUNCHER], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "launchers/ray_node.sh head [PORT]" in done.stderr
