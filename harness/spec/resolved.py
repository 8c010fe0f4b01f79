"""A suite after expansion: every cell with its labels and tests. What `spec` gives to `planning`."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from harness.api.reference import Frozen, PartRef
from harness.spec.cell import Cell


class Labels(Frozen):
    """How tables call a cell. Never part of any identity."""

    task: str
    backbone: str
    variant: str


class Run(Frozen):
    """How jobs run: what does not change results. The suite's `run:` section."""

    cpus: PositiveInt = 1
    """Threads of a train or evaluate job. Fixed for a suite, as the order of float sums depends on it."""
    gpus: NonNegativeInt | Literal["auto"] = "auto"
    """GPUs of a train job; auto: one when the executor has any."""
    checkpoint_every: PositiveInt = 200
    """Steps between checkpoints."""
    log_every: PositiveInt = 20
    """Steps between lines of the loss curve."""
    samples: NonNegativeInt = 3
    """Test images a data set that leave an input | restored | truth strip."""
    retries: NonNegativeInt = 2
    """Further attempts after a lost worker."""


class SuiteCell(Frozen):
    """A cell as one suite sees it. `listed` is False for cells that only other cells need (a prior's network)."""

    cell: Cell
    labels: Labels
    tests: tuple[PartRef, ...]
    """Data sets whose `test` split is evaluated."""
    listed: bool = True


class ResolvedSuite(Frozen):
    """All that `bench run` needs to know of a suite file. Cells in the file's order, required ones first."""

    name: str
    description: str = ""
    cells: tuple[SuiteCell, ...]
    metrics: tuple[str, ...] = ("psnr", "ssim")
    run: Run = Run()
    plugins: tuple[str, ...] = ()
    """Absolute paths of plug-in files."""
