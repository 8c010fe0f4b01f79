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
"""Seconds of a SIGSTOP; a disk is full for half of them."""
SEEN = 5.0
"""Seconds within which a driver sees its clock jump."""


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
            path = Path(target)
            if path.suffix == ".log" and path.parent.name == "jobs" and world.shared in path.parents:
                return path.stem
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


def _drivers(world: World) -> list[int]:
    return [pid for pid, line in world.processes().items() if " harness.cli.main run " in line]


def _driver(world: World, chance: random.Random) -> tuple[str, str] | None:
    drivers = _drivers(world)
    return (f"driver {drivers[0]}", "") if drivers and kill(drivers[0], signal.SIGKILL) else None


def _server(name: str, number: signal.Signals) -> Act:
    def act(world: World, chance: random.Random) -> tuple[str, str] | None:
        server = world.servers[name]
        if server.poll() is not None:
            return None
        end_group(server, number)
        if number == signal.SIGSTOP:
            threading.Timer(FROZEN, end_group, (server, signal.SIGCONT)).start()
        return f"{name} {server.pid}", ""

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
    """The driver's clock jumps, by an hour or a day, ahead or back, and the driver must see it."""
    now = world.clock.read_text()
    if FAKETIME is None or not _drivers(world) or not sees(world, now):
        return None
    jump = chance.choice([each for each in ("+3600", "-3600", "+86400", "-86400", "+0") if each != now])
    world.clock.write_text(jump)
    until = time.monotonic() + SEEN
    while not sees(world, jump) and time.monotonic() < until:
        time.sleep(0.1)
    if not sees(world, jump) and _drivers(world):
        world.faults.append(f"the driver's clock does not jump to {jump} s")
    return f"to {jump} s", ""


def sees(world: World, jump: str) -> bool:
    """Whether the driver said, a moment ago, that its clock is so many seconds from the true one."""
    try:
        said, at = map(float, world.clock_seen.read_text().split())
    except (OSError, ValueError):
        return False
    ago = time.monotonic() - at
    return ago < SEEN and abs(said + ago - time.time() - float(jump)) < 60


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
    "mlflow killed": (6, _server("mlflow", signal.SIGKILL)),
    "mlflow frozen": (3, _server("mlflow", signal.SIGSTOP)),
    "store killed": (30, _server("store", signal.SIGKILL)),
    "store frozen": (12, _server("store", signal.SIGSTOP)),
    "disk full": (4, _full_disk),
    "clock jumps": (4, _clock),
}
"""What may happen, with how often, in parts."""
_OF = {
    "rank killed": "gangs",
    "rank frozen": "gangs",
    "store killed": "stored",
    "store frozen": "stored",
}
"""The suite in whose run alone something can happen."""


def strike(world: World, chance: random.Random, kinds: list[str]) -> Event | None:
    """Does one thing of these kinds by chance; None when there is nothing of the kind to hit."""
    going = world.going.name if world.going else ""
    possible = [kind for kind in kinds if _OF.get(kind, going) == going]
    if not possible:
        return None
    kind = chance.choices(possible, [EVENTS[kind][0] for kind in possible])[0]
    at = time.monotonic()
    hit = EVENTS[kind][1](world, chance)
    return None if hit is None else Event(kind, at, *hit)
