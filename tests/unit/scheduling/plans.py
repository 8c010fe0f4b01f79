"""Small real plans for the scheduling tests."""

from __future__ import annotations

from pathlib import Path

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cells.cell import Cell
from harness.cells.suite import Labels, Run, SuiteCell
from harness.planning.job import EvaluateWork, Job, ShardsWork, TrainWork
from harness.planning.plan import CellStatus, Plan
from harness.planning.planned import PlannedJob

TASK = PartRef(name="gaussian_denoise", options={"sigma": 25.0})
PHOTOS = PartRef(name="photos", digest="d")


def cell(seed: int = 0) -> Cell:
    return Cell(task=TASK, train=PHOTOS, backbone=PartRef(name="nafnet"), seed=seed)


def shards(split: str, out: Path) -> Job:
    work = ShardsWork(stored=PreparedSet(dataset=PHOTOS, split=split))
    return Job(work=work, out=str(out), data=str(out / "data"))


def train(seed: int, out: Path, depends: tuple[str, ...] = (), run: Run | None = None) -> Job:
    labels = Labels(task="denoise", backbone="NAFNet", variant="base")
    return Job(
        work=TrainWork(cell=cell(seed)),
        depends=depends,
        labels=labels,
        run=run or Run(),
        out=str(out),
        data=str(out / "d"),
    )


def evaluate(seed: int, out: Path, depends: tuple[str, ...] = ()) -> Job:
    labels = Labels(task="denoise", backbone="NAFNet", variant="base")
    work = EvaluateWork(cell=cell(seed), tests=(), metrics=("psnr",))
    return Job(work=work, depends=depends, labels=labels, out=str(out), data=str(out / "d"))


def plan(*jobs: Job, states: dict[str, str] | None = None) -> Plan:
    """A plan of these jobs, all to do but for those in `states`."""
    planned = tuple(
        PlannedJob(job.id, job, (states or {}).get(job.id, "todo"), "", None, ())  # type: ignore[arg-type]
        for job in jobs
    )
    cells = {job.cell_id: job.work.cell for job in jobs if isinstance(job.work, TrainWork | EvaluateWork)}
    labels = Labels(task="denoise", backbone="NAFNet", variant="base")
    statuses = tuple(
        CellStatus(SuiteCell(cell=content, labels=labels, tests=()), str(cell_id), "todo", "")
        for cell_id, content in cells.items()
    )
    return Plan("tiny", planned, statuses)
