"""What the campaign does to a run. Each event names what it hit; `World` and the loop mend it later."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.campaign.world import FAKETIME, World, end_group, kill

FROZEN = 20.0
"""Seconds of a SIGSTOP, and of a full disk."""


@dataclass
class Event:
    """One thing that happened to the run."""

    kind: str
    at: float
    """Monotonic seconds."""
    hit: str
    cell: str = ""
    """The cell whose training it hit, where that is known."""
    recovered: float | None = None
    """Seconds until that cell, or any where none is known, went on."""


Act = Callable[[World, random.Random], tuple[str, str] | None]
"""Does it; gives what was hit and the cell, or None when there is nothing to hit just now."""


def _workers(world: World) -> dict[int, str]:
    """Process ids of workers that run a job, with the job's id: its log is open in the worker."""
    found = {}
    for pid, line in world.processes().items():
        if line.startswith("ray::"):
            job = _job_of(pid, world)
            if job:
                found[pid] = job
    return found


def _job_of(pid: int, world: World) -> str:
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            target = os.readlink(entry.path)
            if target.startswith(str(world.out / "jobs")) and target.endswith(".log"):
                return Path(target).name.removesuffix(".log")
    except OSError:
        return ""
    return ""


def _cell(job: str) -> str:
    kind, _, rest = job.partition("-")
    return rest.partition(".")[0] if kind == "train" else ""


def _of_workers(number: signal.Signals, *, rank: bool) -> Act:
    def act(world: World, chance: random.Random) -> tuple[str, str] | None:
        found = {pid: job for pid, job in _workers(world).items() if (".rank" in job) == rank}
        if not found:
            return None
        pid = chance.choice(sorted(found))
        if not kill(pid, number):
            return None
        if number == signal.SIGSTOP:
            threading.Timer(FROZEN, kill, (pid, signal.SIGCONT)).start()
        return f"worker {pid} of {found[pid]}", _cell(found[pid])

    return act


def _node(world: World, chance: random.Random) -> str:
    return chance.choice(sorted(name for name in world.nodes if name != "head"))


def _raylets(world: World) -> dict[int, str]:
    """Raylets of other nodes than the head."""
    head = os.getpgid(world.nodes["head"].pid)
    lines = world.processes()
    return {pid: line for pid, line in lines.items() if "/raylet/raylet" in line and _group(pid) not in (head, None)}


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _raylet(number: signal.Signals) -> Act:
    def act(world: World, chance: random.Random) -> tuple[str, str] | None:
        found = _raylets(world)
        if not found:
            return None
        pid = chance.choice(sorted(found))
        kill(pid, number)
        if number == signal.SIGSTOP:
            threading.Timer(FROZEN, kill, (pid, signal.SIGCONT)).start()
        return f"raylet {pid}", ""

    return act


def _node_lost(world: World, chance: random.Random) -> tuple[str, str] | None:
    name = _node(world, chance)
    end_group(world.nodes[name], signal.SIGKILL)
    return name, ""


def _head_lost(world: World, chance: random.Random) -> tuple[str, str] | None:
    gcs = [pid for pid, line in world.processes().items() if "gcs_server" in line]
    return (f"gcs {gcs[0]}", "") if gcs and kill(gcs[0], signal.SIGKILL) else None


def _driver(world: World, chance: random.Random) -> tuple[str, str] | None:
    drivers = [pid for pid, line in world.processes().items() if " harness.cli.main run " in line]
    return (f"driver {drivers[0]}", "") if drivers and kill(drivers[0], signal.SIGKILL) else None


def _mlflow(number: signal.Signals) -> Act:
    def act(world: World, chance: random.Random) -> tuple[str, str] | None:
        server = world.servers["mlflow"]
        if server.poll() is not None:
            return None
        end_group(server, number)
        if number == signal.SIGSTOP:
            threading.Timer(FROZEN, end_group, (server, signal.SIGCONT)).start()
        return f"mlflow {server.pid}", ""

    return act


def _full_disk(world: World, chance: random.Random) -> tuple[str, str] | None:
    """Fills the disk of the outputs, for a while."""
    if not world.small_disk or (filler := world.shared / "filler").exists():
        return None
    free = os.statvfs(world.shared)
    try:
        with open(filler, "wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, free.f_bavail * free.f_frsize)
    except OSError:
        pass  # something was written meanwhile: it is as full as it gets
    threading.Timer(FROZEN / 2, lambda: filler.unlink(missing_ok=True)).start()
    return str(world.shared), ""


def _clock(world: World, chance: random.Random) -> tuple[str, str] | None:
    """The driver's clock jumps, by an hour or a day, ahead or back."""
    if FAKETIME is None:
        return None
    jump = chance.choice(["+3600", "-3600", "+86400", "-86400", "+0"])
    world.clock.write_text(jump)
    return f"to {jump} s", ""


EVENTS: dict[str, tuple[int, Act]] = {
    "worker killed": (30, _of_workers(signal.SIGKILL, rank=False)),
    "rank killed": (10, _of_workers(signal.SIGKILL, rank=True)),
    "worker frozen": (5, _of_workers(signal.SIGSTOP, rank=False)),
    "rank frozen": (4, _of_workers(signal.SIGSTOP, rank=True)),
    "raylet killed": (12, _raylet(signal.SIGKILL)),
    "raylet frozen": (3, _raylet(signal.SIGSTOP)),
    "node lost": (6, _node_lost),
    "head lost": (3, _head_lost),
    "driver killed": (10, _driver),
    "mlflow killed": (6, _mlflow(signal.SIGKILL)),
    "mlflow frozen": (3, _mlflow(signal.SIGSTOP)),
    "disk full": (4, _full_disk),
    "clock jumps": (4, _clock),
}
"""What may happen, with how often, in parts."""


def strike(world: World, chance: random.Random, kinds: list[str]) -> Event | None:
    """Does one thing of these kinds by chance; None when there is nothing of the kind to hit."""
    kind = chance.choices(kinds, [EVENTS[kind][0] for kind in kinds])[0]
    at = time.monotonic()
    hit = EVENTS[kind][1](world, chance)
    return None if hit is None else Event(kind, at, *hit)
