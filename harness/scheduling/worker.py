"""The process that runs jobs: made an actor by harness.scheduling.ray_backend."""

from __future__ import annotations

import os
import random
import signal
import socket
from contextlib import suppress
from importlib import import_module
from threading import Thread
from time import sleep

from harness.api.running import JobOutcome, Seat
from harness.core.beat import beats
from harness.scheduling.threads import set_threads

PULSE = 2.0
"""Seconds between signs of life."""

SPACE = "priorbench"
"""Where in Ray's key-value store signs of life lie."""

_PORTS = range(20000, 32768)
"""Below those that systems give to connections, above those of Ray's workers."""


class Worker:
    """Imports the networks' libraries once and runs one job after the other, in the process's main thread.

    `pulse`: the key under which it leaves its signs of life, from a thread of its own. Ray would answer calls beside a
    job only if jobs ran outside the main thread, where a plug-in's changes to the process are not undone.
    """

    def __init__(self, cpus: int, gpus: int, folder: str, pulse: str) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the driver decides
        set_threads(cpus)
        if not gpus:  # Ray leaves all devices visible to an actor that asked for none
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        if os.path.isdir(folder):  # so that relative paths in a suite's options mean the same here
            os.chdir(folder)
        Thread(target=_give_signs, args=(pulse,), name="pulse", daemon=True).start()

    def ready(self) -> int:
        """Imports what jobs need, now that the variables that torch reads are set. Gives a free port."""
        for name in ("run", "shards", "features", "train", "evaluate"):
            import_module(f"harness.jobs.{name}")
        return free_port()

    def run(self, job_file: str, seat: Seat) -> tuple[JobOutcome, int]:
        """Runs a job; gives its outcome, and a port that is free for the next."""
        from harness.jobs.run import run_job_file

        return run_job_file(job_file, seat), free_port()


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    dice = random.SystemRandom()  # the generator of `random` belongs to jobs, which seed it
    while True:
        port = dice.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port


def _give_signs(key: str) -> None:
    from ray.experimental.internal_kv import _internal_kv_put

    number = 0
    while True:
        number += 1
        with suppress(Exception):  # the head may be away for a moment
            _internal_kv_put(key, f"{number} {beats()}", namespace=SPACE)
        sleep(PULSE)
