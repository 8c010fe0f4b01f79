"""From cells to jobs: what each cell needs, every piece of work once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from harness.api.sets import FeatureSet, PreparedSet
from harness.planning.job import EvaluateWork, FeaturesWork, ShardsWork, TrainWork, Work, job_id
from harness.spec.cell import Cell
from harness.spec.resolved import SuiteCell


@dataclass(frozen=True)
class Node:
    """A job before anything is known of its state."""

    id: str
    work: Work
    depends: tuple[str, ...] = ()
    tests: tuple[tuple[PreparedSet, tuple[str, ...]], ...] = ()
    """Of an evaluate job: its test sets, each with the jobs that prepare it."""


@dataclass(frozen=True)
class CellJobs:
    """The jobs of one cell of the suite, by id. The input has no train job, a cell without tests no evaluate job."""

    suite_cell: SuiteCell
    id: str
    train: str | None
    evaluate: str | None


@dataclass
class JobGraph:
    """All jobs of a suite; what a job depends on stands before it. Identities are hashed once, as hashing is slow."""

    nodes: dict[str, Node] = field(default_factory=dict)
    cells: list[CellJobs] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """JSON text of a prepared or feature set → id of its job."""
    trains: dict[str, str] = field(default_factory=dict)
    """Cell id → id of its train job."""

    def _add(self, work: Work, depends: Sequence[str], identity: str | None = None) -> str:
        identity = identity or job_id(work)
        self.nodes.setdefault(identity, Node(identity, work, tuple(dict.fromkeys(depends))))
        return identity

    def shards(self, samples: PreparedSet) -> str:
        """The job that prepares a set."""
        name = samples.model_dump_json()
        if name not in self.names:
            self.names[name] = self._add(ShardsWork(samples=samples), ())
        return self.names[name]

    def features(self, features: FeatureSet, source: Cell | None) -> str:
        """The job that encodes a set, after what it reads: shards, the rows it is derived from, its network."""
        name = features.model_dump_json()
        if name not in self.names:
            depends = [self.shards(features.samples)]
            depends += [self.features(parent, source) for parent in features.parents]
            network = source if source is not None and features.prior.digest == source.id else None
            if network is not None:
                depends.append(self.train(network))
            self.names[name] = self._add(FeaturesWork(features=features, prior_source=network), depends)
        return self.names[name]

    def train(self, cell: Cell, cell_id: str | None = None) -> str:
        """The job that trains a cell, after its data, its features and the cells that it starts from."""
        cell_id = cell_id or cell.id
        if cell_id not in self.trains:
            sets = () if cell.ready_made else cell.train_sets
            depends = [self.shards(samples) for samples in sets]
            rows = [features for samples in sets if (features := cell.train_features(samples)) is not None]
            depends += [self.features(features, cell.prior_source) for features in rows]
            if not rows and cell.prior_source is not None:
                depends.append(self.train(cell.prior_source))
            if cell.base is not None:
                depends.append(self.train(cell.base))
            self.trains[cell_id] = self._add(TrainWork(cell=cell), depends, f"train-{cell_id}")
        return self.trains[cell_id]

    def add_cell(self, suite_cell: SuiteCell, metrics: tuple[str, ...]) -> None:
        """The jobs of one cell of the suite, `metrics` being those that can be computed."""
        cell = suite_cell.cell
        cell_id = cell.id
        train = self.train(cell, cell_id) if cell.backbone is not None else None
        tests = tuple((samples, self._test(cell, samples)) for samples in map(cell.test_set, suite_cell.tests))
        evaluate = None
        if tests:
            work = EvaluateWork(cell=cell, tests=tuple(samples for samples, _ in tests), metrics=metrics)
            depends = [job for _, jobs in tests for job in jobs] + ([train] if train else [])
            evaluate = self._add(work, depends, f"evaluate-{cell_id}")
            self.nodes[evaluate] = replace(self.nodes[evaluate], tests=tests)
        self.cells.append(CellJobs(suite_cell, cell_id, train, evaluate))

    def _test(self, cell: Cell, samples: PreparedSet) -> tuple[str, ...]:
        features = cell.test_features(samples)
        shards = self.shards(samples)
        return (shards,) if features is None else (shards, self.features(features, cell.prior_source))


def without(node: Node, lost: Collection[PreparedSet]) -> Node:
    """An evaluate job that leaves out some test sets, and the jobs that prepare only those."""
    kept = tuple((samples, jobs) for samples, jobs in node.tests if samples not in lost)
    work = node.work.model_copy(update={"tests": tuple(samples for samples, _ in kept)})
    prepared = {job for _, jobs in node.tests for job in jobs}
    depends = tuple(dict.fromkeys(job for _, jobs in kept for job in jobs))
    return replace(node, work=work, depends=depends + tuple(d for d in node.depends if d not in prepared), tests=kept)
