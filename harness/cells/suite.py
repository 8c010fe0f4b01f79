"""A suite after expansion: every cell with its labels and tests. What `spec` gives to `planning`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from harness.api.reference import Frozen, PartRef
from harness.cells.cell import Cell


class Labels(Frozen):
    """How tables call a cell. Never part of any identity."""

    task: str
    backbone: str
    variant: str

    def title(self, seed: int) -> str:
        """How people call a cell."""
        return f"{self.task} {self.backbone} {self.variant} seed {seed}"


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
    """Test images per data set that leave a strip of input | restored | truth."""
    retries: NonNegativeInt = 2
    """Further attempts after a lost worker."""


class SuiteMetric(Frozen):
    """A metric that a suite asks for."""

    part: PartRef
    key: str
    """What records call it: its name, with the options that are not its defaults, as `psnr(border=4)`."""
    label: str
    """What tables call it."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        """Suites of earlier releases store the name alone."""
        return {"part": {"name": value}, "key": value, "label": value} if isinstance(value, str) else value


class SuiteCell(Frozen):
    """A cell as one suite sees it. `listed` is False for cells that only other cells need (a prior's network)."""

    cell: Cell
    labels: Labels
    tests: tuple[PartRef, ...]
    """Data sets whose `test` split is evaluated."""
    listed: bool = True

    @property
    def title(self) -> str:
        """How people call the cell."""
        return self.labels.title(self.cell.seed)


class ResolvedSuite(Frozen):
    """All that `bench run` needs to know of a suite file. Cells in the file's order, required ones first."""

    name: str
    description: str = ""
    cells: tuple[SuiteCell, ...]
    metrics: tuple[SuiteMetric, ...]
    run: Run = Run()
    plugins: tuple[str, ...] = ()
    """Absolute paths of plug-in files."""
