"""One process of the gangs of test_gang.py: enters many groups, one after the other, as a warm worker does."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import psutil
import torch
from torch import distributed, nn

from harness.api.running import Seat
from harness.cells.suite import Run
from harness.core.errors import DataError, HarnessError
from harness.jobs.gang import gathered, leaks

KEPT: list[nn.Module] = []
"""What a careless part keeps of a job."""


def act(what: str, rank: int) -> None:
    """Does a step of a training, and what a test wants of rank 1, while a wrapped network knows the group."""
    if rank == 1 and what == "kill":
        os.kill(os.getpid(), 9)
    if rank == 1 and what == "stop":
        os.kill(os.getpid(), 19)
    if what not in ("kill", "stop"):
        wrapped = nn.parallel.DistributedDataParallel(nn.Linear(4, 4))
        wrapped(torch.ones(1, 4)).sum().backward()
        if what == "keep":
            KEPT.append(wrapped)
    if rank == 1 and what == "raise":
        raise ValueError("mine")
    if rank == 1 and what == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if what == "wrap":
        wrap(rank)
    if what == "clean":
        clean(rank)
    total = torch.ones(4)
    distributed.all_reduce(total)
    assert total.tolist() == [2.0] * 4
    if rank == 0 and what == "late":  # after its last exchange, where the other one has nothing to do but end
        raise KeyError("late")


def wrap(rank: int) -> None:
    """Rank 1 leaves, and rank 0 takes the broken exchange for a part's mistake."""
    if rank == 1:
        raise ValueError("mine")
    try:
        distributed.all_reduce(torch.ones(4))
    except RuntimeError as error:
        raise HarnessError("the gradients through a part cannot be computed", kind="plugin") from error


def clean(rank: int) -> None:
    """Rank 1 has a reason, and clears up together with others that have gone."""
    if rank == 0:
        raise ValueError("gone")
    try:
        raise DataError("the shard is damaged")
    finally:
        distributed.all_reduce(torch.ones(4))


def once(seat: Seat, what: str, patience: int, name: str) -> dict[str, Any]:
    """Enters a group, does it, leaves; says how it ended and what is left in this process."""
    said: dict[str, Any] = {"what": what, "error": "", "kind": ""}
    try:
        with gathered(seat, Run(gpus=0, patience=patience), name) as gang:
            said["seen"] = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "GLOO_SOCKET_IFNAME")}
            act(what, seat.rank)
            gang.end_together()
    except Exception as error:  # noqa: BLE001 - it is told
        said |= {"error": str(error), "kind": error.kind if isinstance(error, HarnessError) else type(error).__name__}
    said["left"] = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "GLOO_SOCKET_IFNAME", "MASTER_PORT")}
    said["open"], said["threads"] = psutil.Process().num_fds(), psutil.Process().num_threads()
    said["leaks"] = leaks()
    if what == "drop":
        KEPT.clear()
    said["begun"] = distributed.is_initialized()
    return said


def main() -> None:
    rank, patience = int(sys.argv[1]), int(sys.argv[2])
    for line in sys.stdin:  # one group a line: what to do, where to meet, and what the gang is called
        what, port, name = line.split()
        seat = Seat(rank, 2, rank, 2, f"127.0.0.1:{port}", "127.0.0.1")
        print(json.dumps(once(seat, what, patience, name)), flush=True)


if __name__ == "__main__":
    main()
