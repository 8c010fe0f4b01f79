"""Ctrl-C, and two runs on one folder: nothing is lost, nothing is mixed up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.bench import TINY, Bench
from tests.waiting import wait_for

pytestmark = pytest.mark.xdist_group("tiny")


def leaderboard(bench: Bench, out: Path) -> str:
    return bench.ok("leaderboard", out, "--format", "csv")


def workers(home: Path) -> list[str]:
    """Command lines of Ray processes whose sessions lie below this home folder."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (folder / "environ").read_bytes() if line.startswith("ray::") else b""
        except (OSError, ValueError):
            continue
        if f"RAY_TMPDIR={home}\0".encode() in environment:
            found.append(line)
    return found


START = """
import os, signal, sys, threading, ray
from harness.scheduling.ray_pool import RayPool
real = ray.init
def start(*given, **options):
    threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), getattr(signal, sys.argv[2]))).start()
    return real(*given, **options)
ray.init = start
try:
    RayPool(cpus=1)
except KeyboardInterrupt:
    print("stopped", ray.is_initialized())
"""
"""Sends itself a signal some seconds after the start of Ray has begun."""


@pytest.mark.parametrize(("number", "after"), [("SIGINT", 0.05), ("SIGINT", 1.0), ("SIGTERM", 0.4)])
def test_a_stop_while_ray_starts_leaves_nothing(short_home, monkeypatch, number, after):
    monkeypatch.setenv("RAY_TMPDIR", str(short_home))
    monkeypatch.setenv("HOME", str(short_home))
    command = [sys.executable, "-c", START, str(after), number]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "stopped False\n"), ended.stderr
    assert ended.stderr.count("stopping, as soon as Ray has started\n") == (number == "SIGINT")
    assert not workers(short_home)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize(
    ("number", "executor"),
    [
        (signal.SIGINT, "ray"),
        pytest.param(signal.SIGTERM, "ray", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "local", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_goes_on_with_the_same_numbers(finished, bench, tmp_path, number, executor):
    """Stopped while a network trains, whatever else is going on at that moment."""
    out = tmp_path / "stopped"
    command = ("run", TINY, "--out", out, "--tracker", "none", "--executor", executor)
    process = bench.start(*command)
    wait_for(lambda: [*out.glob("cells/*/events.jsonl")] or process.poll() is not None, "it trains", 200, every=0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped; the same command resumes" in said
    assert "Traceback" not in said
    wait_for(lambda: not workers(bench.home), "its workers end", 20, every=0.05)
    bench.ok(*command)
    assert leaderboard(bench, out) == leaderboard(bench, finished)


def test_a_second_run_on_the_folder_refuses_and_harms_nothing(finished, bench, tmp_path):
    out = tmp_path / "shared"
    command = ("run", TINY, "--out", out, "--tracker", "none")
    first = bench.start(*command, "--executor", "local")
    wait_for(lambda: [*out.glob("jobs/*.json")] or first.poll() is not None, "it hands out jobs", 200, every=0.05)
    second = bench(*command)
    assert second.returncode == 1
    assert f"another run is using this folder: process {first.pid} on {os.uname().nodename}" in second.stderr
    assert "--out" in second.stderr
    assert "Traceback" not in second.stderr
    said, _ = first.communicate(timeout=400)
    assert first.returncode == 0, said
    assert leaderboard(bench, out) == leaderboard(bench, finished)
