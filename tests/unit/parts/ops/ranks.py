"""Processes of this machine that compute together over gloo, for tests of what is exchanged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn


def together(work: Callable[..., Any], ranks: int, folder: Path, *given: Any) -> list[Any]:
    """What `work(rank, ranks, *given)`, a function of a module, gives in each of some processes."""
    spawn(_one, (work, ranks, folder, given), nprocs=ranks)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


def _one(rank: int, work: Callable[..., Any], ranks: int, folder: Path, given: tuple[Any, ...]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=ranks)
    try:
        torch.save(work(rank, ranks, *given), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
