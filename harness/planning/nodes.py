"""The jobs of a suite and what they depend on, before anything is known of their state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from harness.api.sets import Samples
from harness.cells.suite import Labels, SuiteCell
from harness.planning.job import ScoresWork, Work, title_of
from harness.planning.titles import distinctions
from harness.records.job_ids import JobKind


@dataclass(frozen=True)
class HeldOut:
    """A test set of an evaluate job, and the jobs that prepare it."""

    samples: Samples
    shards: str
    """The job that makes the stored set; it comes after that of the clean images, where those are another set."""
    features: str | None = None

    @property
    def jobs(self) -> tuple[str, ...]:
        return (self.shards,) if self.features is None else (self.shards, self.features)


@dataclass(frozen=True)
class JobNode:
    """A job before anything is known of its state."""

    id: str
    work: Work
    cell_id: str | None
    """The cell that it belongs to; None for shards and features, which cells share."""
    depends: tuple[str, ...] = ()
    tests: tuple[HeldOut, ...] = ()
    """Of an evaluate job, as in its work."""
    parts: tuple[tuple[str, ...], ...] = ()
    """Of an evaluate job, by test set: the jobs that score parts of it. None for one that the job scores itself."""
    shards: range = range(0)
    """Of a part of a prepared set: the numbers of its shards."""

    @property
    def kind(self) -> JobKind:
        return self.work.kind


@dataclass(frozen=True)
class CellJobs:
    """The jobs of one cell of the suite, by id. The input has no train job, a cell without tests no evaluate job."""

    suite_cell: SuiteCell
    id: str
    train: str | None
    evaluate: str | None


@dataclass(frozen=True)
class JobGraph:
    """All jobs of a suite, by id. Every job stands after those that it depends on."""

    nodes: Mapping[str, JobNode]
    cells: tuple[CellJobs, ...]
    trains: Mapping[str, str]
    """Cell id → id of its train job. Also of cells that are not in the suite, but that others start from."""
    labels: Mapping[str, Labels]
    """Cell id → how tables call it, of the suite's cells."""

    def backwards(self) -> Iterator[tuple[str, JobNode]]:
        """The jobs from the last to the first: every job comes after those that depend on it."""
        return reversed(tuple(self.nodes.items()))

    def labels_of(self, node: JobNode) -> Labels | None:
        """How tables call a job's cell; None for shards, features and cells that are not in the suite."""
        cell_id = node.work.cell.id if isinstance(node.work, ScoresWork) else node.cell_id
        return None if cell_id is None else self.labels.get(cell_id)

    @cached_property
    def told_apart(self) -> Mapping[str, str]:
        """What to add to the titles that several jobs have, by job id."""
        titles = {job: title_of(node.work, self.labels_of(node)) for job, node in self.nodes.items()}
        return distinctions({job: node.work for job, node in self.nodes.items()}, titles)

    def title(self, job: str) -> str:
        """What people call a job."""
        node = self.nodes[job]
        return title_of(node.work, self.labels_of(node), self.told_apart.get(job, ""))

    def with_nodes(self, nodes: Iterable[JobNode]) -> JobGraph:
        """The graph with these nodes in place of those with the same ids."""
        return replace(self, nodes={**self.nodes, **{node.id: node for node in nodes}})


def without(node: JobNode, lost: Collection[HeldOut]) -> JobNode:
    """An evaluate job that leaves out some test sets, and the jobs that prepare only those."""
    stay = [place for place, test in enumerate(node.tests) if test not in lost]
    kept = tuple(node.tests[place] for place in stay)
    parts = tuple(node.parts[place] for place in stay) if node.parts else ()
    work = node.work.model_copy(update={"tests": tuple(test.samples for test in kept)})
    own = {job for test in node.tests for job in test.jobs} | {job for jobs in node.parts for job in jobs}
    depends = [job for test in kept for job in test.jobs] + [job for jobs in parts for job in jobs]
    depends += [job for job in node.depends if job not in own]
    return replace(node, work=work, depends=tuple(dict.fromkeys(depends)), tests=kept, parts=parts)
