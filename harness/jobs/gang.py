"""The process group of one job: several processes, on one machine or many, that train one network together.

A worker stays when its job ends, so that whatever a job begins here ends with it: the group, the store where its
processes met, and the variables that Accelerate reads.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from time import monotonic, sleep
from typing import Any
from weakref import ref

import psutil
import torch
import torch.distributed.nn.functional
from torch import distributed
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.distributed_c10d import _world

from harness.api.running import Seat
from harness.cells.suite import Run
from harness.core.beat import beat
from harness.core.errors import HarnessError
from harness.core.machine import is_broken_collective, shortage
from harness.jobs.classify import classify, message, plainly

log = logging.getLogger(__name__)

_LAUNCHERS = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT",
    "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS", "MPI_LOCALRANKID",
    "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
)  # fmt: skip
"""By which launchers say how many processes there are. Only the seat counts here, whatever started this process."""

_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_ended: list[ref[Any]] = []
"""The process groups of ended jobs that still live."""

_LONGEST_PAUSE = 0.2  # seconds between two looks: ranks may wait long for one, and all ask rank 0

_FAILED = "failed"
"""What a process that fails by itself leaves in the store, so that the others can say why they stop."""


@dataclass
class Gang:
    """The processes of one job, as one of them sees the others. `store` is None in a gang of one."""

    seat: Seat
    patience: float
    name: str = ""
    """Of this try of the job: another gang that was told the same port is not met."""
    store: Store | None = None

    def tell(self, error: BaseException) -> None:
        """Tells the others why this process leaves."""
        if self.store is not None and classify(error) != "worker_lost":
            said = f"rank {self.seat.rank} failed ({classify(error)}): {message(error)}"
            with suppress(RuntimeError, ValueError):  # rank 0, which keeps the store, may be gone
                if not self.store.check([_FAILED]):
                    self.store.set(_FAILED, said)

    def told(self) -> str:
        """Why another process left, by its own words; empty when it did not say."""
        if self.store is None:
            return ""
        try:
            return self.store.get(_FAILED).decode() if self.store.check([_FAILED]) else ""
        except (RuntimeError, ValueError):
            return ""

    def end_together(self) -> None:
        """Waits until all processes have done their work, so that none counts as done beside one that failed.

        Goes by the store, as the group may be busy or broken. Raises HarnessError (kind `worker_lost`) when one failed.
        """
        if self.store is None:
            return
        ranks = range(self.seat.ranks)
        self.store.set(f"done {self.seat.rank}", "")
        # rank 0 keeps the store, and so leaves last
        awaited = [f"done {rank}" for rank in ranks] if self.seat.rank else [f"left {rank}" for rank in ranks if rank]
        until, pause = monotonic() + self.patience, 0.005
        while not self.store.check(awaited):
            if (why := self.told()) or monotonic() > until:
                raise _lost(self.seat, why or "a process did not end with the others")
            beat()  # this one has nothing left to do
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if self.seat.rank:
            self.store.set(f"left {self.seat.rank}", "")


def leaks(strategy: str = "ddp") -> bool:
    """Whether the groups of ended jobs live on in this process, with their connections and threads, as something that
    those jobs left holds them.

    A library may keep the first group that it meets: torch's `fully_shard` does (FSDP2), beyond what Python can let go
    of, and keeps no later one and no network. What DeepSpeed's stage 3 keeps, in a cache of one of its methods, is the
    whole network of every job, and with it the group.
    """
    _ended[:] = [group for group in _ended if group() is not None]
    return len(_ended) > (0 if strategy == "deepspeed" else 1)


@contextmanager
def gathered(seat: Seat, run: Run, name: str = "") -> Iterator[Gang]:
    """Inside, this process belongs to the job's process group; a gang of one begins none. `name`: of this try of the
    job, alike in all its processes.

    NCCL carries what is on a GPU, gloo what is on the CPU. Raises HarnessError (kind `worker_lost`) when another
    process does not come, ends or falls silent for `run.patience` seconds; the words say which, if it said why.
    """
    with _surroundings(seat):
        gang = Gang(seat, run.patience, name)
        try:
            if seat.ranks > 1:
                _begin(gang, run)
            yield gang
        except BaseException as error:
            reason = _reason(error, gang)
            gang.tell(reason)
            if reason is error:
                raise
            raise reason from (reason.__cause__ or error)
        finally:
            _end(gang)


def device_index(seat: Seat) -> int:
    """The process's GPU among those that it sees: its only one, where whoever started it shows it no other.

    Raises HarnessError when it sees several, and none that is its own.
    """
    seen = torch.cuda.device_count()
    if seen == 1 or seat.local_rank < seen:
        return 0 if seen == 1 else seat.local_rank
    what = f"process {seat.local_rank} of this machine has no GPU of its own: it sees {seen}"
    raise HarnessError(what, hint="fewer run.gpus, or more GPUs in CUDA_VISIBLE_DEVICES")


def on_gpu(run: Run) -> bool:
    """Whether a job of this suite computes on a GPU here."""
    return run.gpus != 0 and torch.cuda.is_available()


def interface_of(address: str) -> str:
    """The network interface of this machine that has an address, or what its name resolves to; empty for none."""
    try:
        wanted = {str(info[4][0]) for info in socket.getaddrinfo(address, None)}
    except OSError:
        wanted = {address}
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] in wanted for each in addresses):
            return name
    return ""


def _begin(gang: Gang, run: Run) -> None:
    """Meets the others and begins the group."""
    if run.strategy != "ddp":
        _import_first("cuda" if on_gpu(run) else "cpu")
    seat, patience = gang.seat, timedelta(seconds=run.patience)
    host, _, port = seat.meet.rpartition(":")
    server = TCPStore(
        host.strip("[]"), int(port), seat.ranks, is_master=seat.rank == 0, timeout=patience, wait_for_workers=False
    )
    gang.store = PrefixStore(gang.name, server)  # nobody keeps the port free: it may be that of another gang by now
    gpu = on_gpu(run)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        store=gang.store,
        rank=seat.rank,
        world_size=seat.ranks,
        # Whoever watches the gang sees which process stopped, and ends it before.
        timeout=timedelta(seconds=min(1.25 * run.patience, run.patience + 60)),
        device_id=torch.device("cuda", device_index(seat)) if gpu else None,
    )


def _import_first(device: str) -> None:
    """Imports what would keep the first group as the default of its functions, and use it in all later jobs: DeepSpeed,
    which Accelerate imports for FSDP2 too, and torch's own. One that is not there is told of by who needs it."""
    os.environ["DS_ACCELERATOR"] = device  # else it looks for one, and tells about it
    for name in ("torch.distributed.fsdp.sharded_grad_scaler", "deepspeed.comm.torch"):
        try:
            import_module(name)
        except Exception:
            log.info("%s cannot be imported", name, exc_info=True)


def _end(gang: Gang) -> None:
    """Ends the group and closes the store, whatever has happened to them."""
    try:
        if distributed.is_initialized():
            _ended.append(ref(distributed.group.WORLD))
            distributed.destroy_process_group()
    except Exception:
        log.warning("the process group did not end cleanly", exc_info=True)
    _world.group_count = 0  # by which torch calls groups: one that did not begin counts, and the next would not be met
    gang.store = None
    if gang.seat.ranks > 1:
        gc.collect()  # gloo's connections and threads end with the last object that knows the group


def _reason(error: BaseException, gang: Gang) -> BaseException:
    """Why this process ends: the exception itself, or that the others are gone, whatever was made of it.

    What it raised before a collective broke counts first: that broke because it was leaving.
    """
    if gang.seat.ranks == 1:
        return error
    chain = list(_chain(error))
    for each in chain:  # a wrapped network that an ended call holds keeps the group, and the others waiting
        traceback.clear_frames(each.__traceback__)
    broken = next((place for place, each in enumerate(chain) if is_broken_collective(each)), None)
    if broken is None:
        return error
    if (own := next(filter(_is_own, chain[broken + 1 :]), None)) is not None:
        return own
    log.info("a collective broke", exc_info=error)
    return _lost(gang.seat, gang.told() or plainly(message(chain[broken])))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, those that it was raised from or in whose handling, the last first."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _is_own(error: BaseException) -> bool:
    """Whether an exception says by itself why a process ends, whatever was raised after it."""
    return (isinstance(error, HarnessError) and error.kind != "worker_lost") or shortage(error) is not None


def _lost(seat: Seat, why: str) -> HarnessError:
    what = f"the {seat.ranks} processes of this job lost each other: {why}"
    return HarnessError(what, where=f"rank {seat.rank}", hint="the logs of its other ranks", kind="worker_lost")


@contextmanager
def _surroundings(seat: Seat) -> Iterator[None]:
    """Inside, the environment says this seat and no other; afterwards it is what it was."""
    wanted = _said(seat)
    names = {*_LAUNCHERS, *wanted}
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        _set(name, wanted.get(name))
    try:
        yield
    finally:
        for name, value in before.items():
            _set(name, value)


def _said(seat: Seat) -> Mapping[str, str]:
    """The variables of a seat. An interface that the user names is kept."""
    if seat.ranks == 1:
        return {}
    host, _, port = seat.meet.rpartition(":")
    found = interface_of(seat.host) if seat.host else ""
    if seat.host and not found:
        log.warning("no network interface here has the address %s: the processes find each other by name", seat.host)
    interfaces = {name: os.environ.get(name) or found for name in _INTERFACES} if found else {}
    return {
        "RANK": str(seat.rank),
        "WORLD_SIZE": str(seat.ranks),
        "LOCAL_RANK": str(device_index(seat) if torch.cuda.is_available() else seat.local_rank),
        "LOCAL_WORLD_SIZE": str(seat.local_ranks),
        "MASTER_ADDR": host.strip("[]"),
        "MASTER_PORT": port,
        **interfaces,
    }


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
