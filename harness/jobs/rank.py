"""`python -m harness.jobs.rank FILE --seat JSON --tell FD`: one process of a gang on this machine (local_gang.py).

Nobody starts it by hand. What it imports at once is small, so that it is heard soon; what trains comes afterwards.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

from harness.api.running import Seat
from harness.core.beat import beats
from harness.core.guests import tell_interrupts

EVERY = 0.5
"""Seconds between two signs of life."""


class Line:
    """The connection to the process that started this one. Ends this process when that one ends, however it does."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        threading.Thread(target=self._keep, name="line", daemon=True).start()

    def say(self, **said: Any) -> None:
        """Sends one line of JSON."""
        with self._lock:
            self._socket.sendall(json.dumps(said).encode() + b"\n")

    def _keep(self) -> None:
        try:
            while not select.select([self._socket], [], [], EVERY)[0]:  # nothing is ever sent here: it can only end
                self.say(beats=beats())
        except (OSError, ValueError):
            pass
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs this process's share of the job and says how it ended; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.jobs.rank")
    parser.add_argument("file")
    parser.add_argument("--seat", type=json.loads, required=True)
    parser.add_argument("--tell", type=int, required=True)
    parser.add_argument("--loud", action="store_true")
    parser.add_argument("--debug", action="store_true")
    given = parser.parse_args(arguments)
    line, seat = Line(given.tell), Seat(**given.seat)
    faulthandler.enable()
    tell_interrupts()
    if given.loud:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    run = import_module("harness.jobs.run")
    if given.debug:
        run.debug_job_file(given.file, seat)
        return 0
    outcome = run.run_job_file(given.file, seat)
    line.say(outcome=asdict(outcome))
    return 0 if outcome.failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
