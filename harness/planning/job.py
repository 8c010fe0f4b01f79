"""Jobs: the units that the scheduler places. A job file holds all that one worker needs, nothing else travels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.api.reference import Frozen
from harness.api.sets import FeatureSet, PreparedSet
from harness.cells.cell import Cell
from harness.cells.suite import Labels, Run, SuiteMetric
from harness.core.identity import digest
from harness.records.job_ids import JobKind, job_id_of


class ShardsWork(Frozen):
    """Degrade and write one prepared set."""

    kind: Literal["shards"] = "shards"
    samples: PreparedSet


class FeaturesWork(Frozen):
    """Encode one prepared set with one prior."""

    kind: Literal["features"] = "features"
    features: FeatureSet
    prior_source: Cell | None = None


class TrainWork(Frozen):
    """Train one cell to its checkpoint."""

    kind: Literal["train"] = "train"
    cell: Cell


class EvaluateWork(Frozen):
    """Score one cell's checkpoint (or the input itself) on test sets."""

    kind: Literal["evaluate"] = "evaluate"
    cell: Cell
    tests: tuple[PreparedSet, ...]
    metrics: tuple[SuiteMetric, ...]
    """What to compute; the task's protocol says how."""


Work = Annotated[ShardsWork | FeaturesWork | TrainWork | EvaluateWork, Field(discriminator="kind")]


class Job(Frozen):
    """One unit of work, its prerequisites (job ids) and where it reads and writes."""

    work: Work
    depends: tuple[str, ...] = ()
    labels: Labels | None = None
    suite: str = ""
    run: Run = Run()
    out: str = ""
    data: str = ""
    plugins: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The same work has the same id, so that cells share shards and features."""
        return job_id(self.work)

    @property
    def kind(self) -> JobKind:
        return self.work.kind

    @property
    def cell_id(self) -> str | None:
        """The cell that a train or evaluate job belongs to."""
        return cell_id_of(self.work)

    @property
    def title(self) -> str:
        """One phrase for people: what this job is about."""
        return title_of(self.work, self.labels)


def cell_id_of(work: Work) -> str | None:
    """The cell that train or evaluate work belongs to; None for shards and features, which cells share."""
    return work.cell.id if isinstance(work, TrainWork | EvaluateWork) else None


def job_id(work: Work) -> str:
    """`<kind>-<digest of what it does>`; of train and evaluate work the digest is the cell's id."""
    if isinstance(work, TrainWork | EvaluateWork):
        return job_id_of(work.kind, work.cell.id)
    content = work.samples if isinstance(work, ShardsWork) else work.features
    return job_id_of(work.kind, digest(content.identity(), 12))


def title_of(work: Work, labels: Labels | None) -> str:
    """One phrase for people: what a job is about. A cell without labels is called by its id."""
    if isinstance(work, ShardsWork):
        return f"shards {work.samples.dataset.name}/{work.samples.split} for {work.samples.task.name}"
    if isinstance(work, FeaturesWork):
        prior, samples, turned = work.features.prior, work.features.samples, work.features.orientations
        every = f" in {turned} orientations" if turned > 1 else ""
        return f"features {prior.name} of {samples.dataset.name}/{samples.split}{every} for {samples.task.name}"
    seed = work.cell.seed
    return f"{work.kind} {labels.title(seed) if labels else f'{work.cell.id} seed {seed}'}"
