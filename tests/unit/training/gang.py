"""Processes that run some jobs together, one after the other, as warm workers do.

`python -m tests.unit.training.gang TASK`: one of them; TASK is JSON: rank, ranks, [[job file, meeting place], …], and
what it kills itself at: [module, name, call], or null.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.api.running import JobOutcome, Seat
from harness.jobs.run import run_job_file

HERE = "127.0.0.1"
STEP = "harness.training.engines.accelerated", "set_learning_rate"
"""What is called once in every optimizer step, before it."""

Kill = tuple[str, str, int]


def run_together(files: Sequence[Path], ranks: int, kills: dict[int, Kill] | None = None) -> list[list[JobOutcome]]:
    """The outcomes of the jobs in each process. `kills`: at which call of what a rank kills itself; in that case the
    others are ended as soon as one is gone, and the outcomes of those that were left are given."""
    jobs = [[str(file), f"{HERE}:{port}"] for file, port in zip(files, _free_ports(len(files)), strict=True)]
    processes = []
    for rank in range(ranks):
        task = json.dumps({"rank": rank, "ranks": ranks, "jobs": jobs, "kill": (kills or {}).get(rank)})
        command = [sys.executable, "-m", "tests.unit.training.gang", task]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    outcomes = []
    try:
        for rank, process in enumerate(processes):
            said, error = process.communicate(timeout=540)
            if rank in (kills or {}):
                assert process.returncode == -signal.SIGKILL, error
                continue
            assert process.returncode == 0, error
            outcomes.append([JobOutcome(**each) for each in json.loads(said.splitlines()[-1])])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return outcomes


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((HERE, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def die_at(module_name: str, name: str, fatal: int) -> None:
    """Lets this process kill itself at the start of a call."""
    module = import_module(module_name)
    real, calls = vars(module)[name], 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(module, name, deadly)


def main() -> None:
    task = json.loads(sys.argv[1])
    rank, ranks = task["rank"], task["ranks"]
    if task["kill"]:
        die_at(*task["kill"])
    outcomes = []
    for file, meet in task["jobs"]:
        seat = Seat(rank, ranks, rank, ranks, meet, HERE) if ranks > 1 else Seat()
        outcomes.append(vars(run_job_file(file, seat)))
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
