"""Jobs: the units that the scheduler places. A job file holds all that one worker needs, nothing else travels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.api.reference import Frozen
from harness.api.sets import FeatureSet, PreparedSet
from harness.core.identity import digest
from harness.spec.cell import Cell
from harness.spec.resolved import Labels, Run


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
    metrics: tuple[str, ...]
    """Metric parts to compute; the task's protocol says how."""


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
        """`<kind>-<digest>`: the same work has the same id, so that cells share shards and features."""
        return job_id(self.work)

    @property
    def cell_id(self) -> str | None:
        """The cell that a train or evaluate job belongs to."""
        return self.work.cell.id if isinstance(self.work, TrainWork | EvaluateWork) else None

    @property
    def title(self) -> str:
        """One phrase for people: what this job is about."""
        work = self.work
        if isinstance(work, ShardsWork):
            return f"shards {work.samples.dataset.name}/{work.samples.split} for {work.samples.task.name}"
        if isinstance(work, FeaturesWork):
            prior, samples, turned = work.features.prior, work.features.samples, work.features.orientations
            every = f" in {turned} orientations" if turned > 1 else ""
            return f"features {prior.name} of {samples.dataset.name}/{samples.split}{every} for {samples.task.name}"
        name = f"{self.labels.task} {self.labels.backbone} {self.labels.variant}" if self.labels else work.cell.id
        return f"{work.kind} {name} seed {work.cell.seed}"


def job_id(work: ShardsWork | FeaturesWork | TrainWork | EvaluateWork) -> str:
    """`<kind>-<digest of what it does>`; a train or evaluate job carries its cell's id."""
    if isinstance(work, TrainWork):
        return f"train-{work.cell.id}"
    if isinstance(work, EvaluateWork):
        return f"evaluate-{work.cell.id}"
    content = work.samples if isinstance(work, ShardsWork) else work.features
    return f"{work.kind}-{digest(content.identity(), 12)}"
