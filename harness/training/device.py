"""The Accelerator of one job. A worker runs many jobs, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType, GradientAccumulationPlugin

from harness.api.running import Seat
from harness.core.errors import HarnessError

ALONE = Seat()
"""The place of a process that trains by itself."""
_ANOTHERS = ("ACCELERATE_", "FSDP_", "PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_", "MPI_LOCAL")
"""How the names of variables begin by which Accelerate lets launchers choose processes, devices and forms."""
_PLACES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def start_accelerator(
    precision: Literal["fp32", "bf16", "fp16"],
    *,
    gpus: int | Literal["auto"],
    seat: Seat = ALONE,
    **plugins: Any,
) -> Accelerator:
    """Device, precision and ranks of this job. `gpus` 0 keeps it on the CPU, `auto` takes a GPU when there is one.

    Accelerate keeps its state in process-wide singletons that refuse another precision, so the state that the previous
    job of this worker left is cleared first. The process group is begun by whoever runs the job (harness.jobs.run), and
    kept. What the environment says of processes and forms does not count. `plugins`: further arguments of Accelerator.
    Raises HarnessError when the device cannot do the precision, there is no GPU where some are asked for, or fewer
    than processes of this machine.
    """
    forget_accelerator()
    if gpus not in (0, "auto") and not torch.cuda.is_available():
        what = "the job asks for a GPU, and this process sees none"
        raise HarnessError(what, where="run.gpus", hint="run.gpus: 0 for CPUs; bench doctor says what torch sees here")
    if seat.ranks > 1 and not torch.distributed.is_initialized():
        raise RuntimeError(f"{seat.ranks} processes train together, and no process group was begun")
    with _environment(_said(seat, _device_index(gpus, seat))):
        accelerator = Accelerator(
            cpu=_on_cpu(gpus),
            mixed_precision="no" if precision == "fp32" else precision,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # the step accumulates by itself
            **plugins,
        )
    if precision != "fp32" and not accelerator.native_amp:
        # Accelerate would silently go on in float32.
        raise HarnessError(
            f"{accelerator.device.type} cannot train in {precision}", hint="set recipe.precision to fp32 or bf16"
        )
    check_accelerator(accelerator, seat)
    return accelerator


def check_accelerator(accelerator: Accelerator, seat: Seat) -> None:
    """Raises RuntimeError when Accelerate has not taken the processes as they are, of which it says nothing itself."""
    found = accelerator.process_index, accelerator.num_processes
    if found != (seat.rank, seat.ranks):
        raise RuntimeError(f"Accelerate takes process {seat.rank} of {seat.ranks} for {found[0]} of {found[1]}")
    if seat.ranks > 1 and accelerator.distributed_type is DistributedType.NO:
        raise RuntimeError(f"Accelerate does not divide a training over {seat.ranks} processes")


def forget_accelerator() -> None:
    """Clears the state that Accelerate keeps in this process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _on_cpu(gpus: int | Literal["auto"]) -> bool:
    return gpus == 0 or not torch.cuda.is_available()


def _device_index(gpus: int | Literal["auto"], seat: Seat) -> int:
    """The number of this process's GPU among those that it sees; its own number on the machine where it has none.

    Ray shows each process its own GPU alone; others see all of the machine.
    """
    if _on_cpu(gpus):
        return seat.local_rank
    seen = torch.cuda.device_count()
    if seen == 1:
        return 0
    if seen < seat.local_ranks:
        what = f"{seat.local_ranks} processes of this machine train on GPUs of their own, and it has {seen}"
        raise HarnessError(what, hint="fewer run.processes, or run.gpus: 0")
    return seat.local_rank


def _said(seat: Seat, index: int) -> dict[str, str]:
    """What Accelerate reads of a process's place; nothing for one that is alone."""
    if seat.ranks == 1:
        return {}
    places = dict(zip(_PLACES, map(str, (seat.rank, seat.ranks, index, seat.local_ranks)), strict=True))
    # Where it is not said, Accelerate sets the number of threads by itself; it asks for an address, and uses none.
    meet = seat.meet.rpartition(":")[0] or "127.0.0.1"
    return places | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "MASTER_ADDR": meet}


@contextmanager
def _environment(said: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment says this, and nothing else by which Accelerate would choose."""
    before = dict(os.environ)
    try:
        for name in before:
            if name in _PLACES or name.startswith(_ANOTHERS):
                del os.environ[name]
        os.environ.update(said)
        yield
    finally:
        changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
        for name in changed:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
