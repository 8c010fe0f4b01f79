"""Processes beside each other, for what fills the compiler's cache or needs a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The checkout, where `tests` and `harness` are found."""
LINES = 12
"""Of the log of a process that failed, which are shown."""


def started(command: Sequence[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A process in a group of its own, so that all that it starts ends with it. Its output goes to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
        )


def ended(process: subprocess.Popen[bytes]) -> None:
    """Kills a process of `started` and all that it started, whatever they do."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def beside(
    commands: Sequence[Sequence[str]], folder: Path, at_once: int, seconds: float, **environment: str
) -> list[int | None]:
    """Runs commands, `at_once` at a time; gives their exit codes, None for those that the seconds did not hold.

    Each has a log in the folder, `<number>.log`; the ends of those of processes that failed are printed.
    """
    deadline = time.monotonic() + seconds
    codes: list[int | None] = [None] * len(commands)
    running: dict[int, subprocess.Popen[bytes]] = {}
    waiting = list(range(len(commands)))
    try:
        while (waiting or running) and time.monotonic() < deadline:
            while waiting and len(running) < at_once:
                number = waiting.pop(0)
                running[number] = started(commands[number], folder / f"{number}.log", **environment)
            for number, process in list(running.items()):
                if process.poll() is not None:
                    codes[number] = process.returncode
                    del running[number]
            time.sleep(0.05)
    finally:
        for process in running.values():
            ended(process)
    for number, code in enumerate(codes):
        if code:
            print(f"  exit code {code}: {' '.join(commands[number])}\n{_end_of(folder / f'{number}.log')}", flush=True)
    return codes


def _end_of(log: Path) -> str:
    """The last lines of a log, which goes with its folder."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:])
