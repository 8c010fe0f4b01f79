"""The form of a job's training, from its suite's `run:` section."""

from __future__ import annotations

from typing import Literal

from harness.api.running import Seat
from harness.cells.cell import Cell
from harness.cells.suite import Run
from harness.training.device import ALONE
from harness.training.engines.base import Engine


def strategy_of(run: Run, ranks: int) -> Literal["ddp", "fsdp2", "deepspeed"] | None:
    """How so many processes divide a training; None: one process trains it whole, whatever the suite says."""
    return run.strategy if ranks > 1 else None


def start_engine(cell: Cell, run: Run, seat: Seat = ALONE) -> Engine:
    """The engine of one process of a job, whose process group has begun where there are several.

    What a form needs is imported when it is asked for. Raises HarnessError when this machine cannot train so.
    """
    strategy = strategy_of(run, seat.ranks)
    if strategy == "fsdp2":
        from harness.training.engines.fsdp2 import start_fsdp2

        return start_fsdp2(cell, run, seat)
    if strategy == "deepspeed":
        from harness.training.engines.deepspeed import start_deepspeed

        return start_deepspeed(cell, run, seat)
    from harness.training.engines.ddp import start_ddp

    return start_ddp(cell.recipe.precision, gpus=run.gpus, seat=seat)
