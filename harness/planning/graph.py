"""The jobs that cells need, each once, and what they depend on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness.api.asking import keys_of, opened
from harness.api.library import InLibrary
from harness.api.protocols import protocols_of
from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, PreparedSet, Samples, TestSet
from harness.api.shard_parts import parts_of, shards_in, shards_of
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell
from harness.cells.suite import Labels, SuiteCell, SuiteMetric
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.planning.job import (
    EvaluateWork,
    FeaturesWork,
    ShardsWork,
    TrainWork,
    Work,
    cell_id_of,
    conditions_of,
    job_id,
    protocols_by_test,
    title_of,
)
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
        return None if node.cell_id is None else self.labels.get(node.cell_id)

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


def build_graph(
    cells: Sequence[SuiteCell],
    metrics: Sequence[SuiteMetric],
    protocols: Sequence[EvaluationProtocol],
    registry: Registry,
) -> JobGraph:
    """The jobs of the cells of a suite. `metrics`: those that can be computed. `protocols`: those of the suite.

    Raises UnknownName for a task that is not in the registry.
    """
    builder = _Builder(tuple(metrics), tuple(protocols), registry)
    jobs = tuple(map(builder.cell, cells))
    builder.tell_tests(cells)
    return JobGraph(builder.nodes, jobs, builder.trains, {each.id: each.suite_cell.labels for each in jobs})


def graph_of_sets(sets: Iterable[PreparedSet], registry: Registry) -> JobGraph:
    """The jobs that make some prepared sets, which no cell needs yet."""
    builder = _Builder((), (), registry)
    for stored in sets:
        builder.shards(stored)
    return JobGraph(builder.nodes, (), {}, {})


def without(node: JobNode, lost: Collection[HeldOut]) -> JobNode:
    """An evaluate job that leaves out some test sets, and the jobs that prepare only those."""
    kept = tuple(test for test in node.tests if test not in lost)
    work = node.work.model_copy(update={"tests": tuple(test.samples for test in kept)})
    preparing = {job for test in node.tests for job in test.jobs}
    depends = [job for test in kept for job in test.jobs] + [job for job in node.depends if job not in preparing]
    return replace(node, work=work, depends=tuple(dict.fromkeys(depends)), tests=kept)


class _Builder:
    """Adds each job once, after those that it depends on."""

    def __init__(
        self, metrics: tuple[SuiteMetric, ...], protocols: tuple[EvaluationProtocol, ...], registry: Registry
    ) -> None:
        self.metrics, self.protocols, self.registry = metrics, protocols, registry
        self.nodes: dict[str, JobNode] = {}
        self.trains: dict[str, str] = {}
        self._sets: dict[str, str] = {}
        """JSON text of a prepared or feature set → id of its job. The text is computed faster than the id."""
        self._splits: dict[tuple[str, str], tuple[int, bool]] = {}
        """JSON text of a data set, and a split → what the data set says of it."""

    def cell(self, suite_cell: SuiteCell) -> CellJobs:
        cell = suite_cell.cell
        train = self._train(cell) if cell.backbone is not None else None
        evaluate = None
        if suite_cell.tests:
            named = [(test, self._protocols(test)) for test in suite_cell.tests]
            drawn = [
                (test.samples(draw), test.condition, protocols)
                for test, protocols in named
                for draw in dict.fromkeys(protocol.draw for protocol in protocols)
            ]
            seen = [(samples, condition) for samples, condition, _ in drawn]
            sets = tuple({samples.model_dump_json(): samples for samples, _ in seen}.values())  # stored: for all draws
            tests = tuple(self._test(cell, samples) for samples in sets)
            every, own = protocols_by_test((samples, protocols) for samples, _, protocols in drawn)
            work = EvaluateWork(
                cell=cell,
                tests=sets,
                metrics=self.metrics,
                protocols=every,
                own=own,
                conditions=conditions_of(seen),
            )
            depends = [job for test in tests for job in test.jobs] + ([train] if train else [])
            evaluate = self._add(work, depends, tests)
        return CellJobs(suite_cell, cell.id, train, evaluate)

    def _protocols(self, test: TestSet) -> tuple[EvaluationProtocol, ...]:
        return protocols_of(self.registry, test.task, test.dataset, self.protocols)

    def tell_tests(self, cells: Sequence[SuiteCell]) -> None:
        """Names in each train job the data sets on which its cell is tested, or one that starts from it or reads it."""
        tests: dict[str, dict[str, PartRef]] = {}
        for each in cells:
            named = {test.dataset.model_dump_json(): test.dataset for test in each.tests}
            waiting = [each.cell] if named else []
            while waiting:
                cell = waiting.pop()
                tests.setdefault(cell.id, {}).update(named)
                waiting += cell.requires
        for cell_id, job in self.trains.items():
            work = self.nodes[job].work
            named = tests.get(cell_id, {})
            self.nodes[job] = replace(self.nodes[job], work=work.model_copy(update={"tests": tuple(named.values())}))

    def _add(
        self, work: Work, depends: Iterable[str], tests: tuple[HeldOut, ...] = (), shards: range = range(0)
    ) -> str:
        identity = job_id(work)
        node = JobNode(identity, work, cell_id_of(work), tuple(dict.fromkeys(depends)), tests, shards)
        self.nodes.setdefault(identity, node)
        return identity

    def _test(self, cell: Cell, samples: Samples) -> HeldOut:
        features = cell.test_features(samples)
        shards = self.shards(samples.stored)
        return HeldOut(samples, shards, None if features is None else self._features(features, cell.prior_source))

    def shards(self, stored: PreparedSet) -> str:
        """The job that makes a set, after those that make its parts and the set of its clean images."""
        name = stored.model_dump_json()
        if name not in self._sets:
            source = [] if stored.source is None else [self.shards(stored.source)]
            images = self._images(stored)
            parts, shards = parts_of(images), shards_of(images)
            making = [
                self._add(ShardsWork(stored=stored, part=part, parts=parts), source, (), shards_in(part, parts, shards))
                for part in (range(1, parts + 1) if parts > 1 else ())
            ]
            self._sets[name] = self._add(ShardsWork(stored=stored), [*making, *source])
        return self._sets[name]

    def _images(self, stored: PreparedSet) -> int:
        """How many images are divided into parts; 0 where one job makes the set.

        A data set knows its keys without reading an image. One that cannot say them has one job, which says why; and so
        has one that gives its images from the first on alone: every part would read those before it again. A set that
        the library has is linked, by one job.
        """
        images, random = self._asked(stored)
        return images if random or stored.source is not None else 0

    def _asked(self, stored: PreparedSet) -> tuple[int, bool]:
        """How many images a split has, and whether its data set gives chosen ones."""
        name = (stored.dataset.model_dump_json(), stored.split)
        if name not in self._splits:
            try:
                dataset = opened(self.registry, stored.dataset.name, stored.dataset.arguments)
                random = dataset.traits.random_access
                self._splits[name] = len(keys_of(dataset, stored.split)), random and not isinstance(dataset, InLibrary)
            except (HarnessError, TypeError, ValueError):  # also of an older suite, for options that are no more
                self._splits[name] = 0, False
        return self._splits[name]

    def _features(self, features: FeatureSet, source: Cell | None) -> str:
        """After what it reads: shards, the rows it is derived from, its network."""
        name = features.model_dump_json()
        if name not in self._sets:
            depends = [self.shards(features.samples.stored)]
            depends += [self._features(parent, source) for parent in features.parents]
            network = source if source is not None and features.prior.digest == source.id else None
            if network is not None:
                depends.append(self._train(network))
            self._sets[name] = self._add(FeaturesWork(features=features, prior_source=network), depends)
        return self._sets[name]

    def _train(self, cell: Cell) -> str:
        """After its data, its features and the cells that it starts from."""
        if cell.id not in self.trains:
            stages = () if cell.ready_made else range(len(cell.recipe.crops))
            depends = [self.shards(cell.train_samples.stored)] if stages else []
            rows = [features for stage in stages if (features := cell.train_features(stage)) is not None]
            depends += [self._features(features, cell.prior_source) for features in rows]
            if not rows and cell.prior_source is not None:
                depends.append(self._train(cell.prior_source))
            if cell.base is not None:
                depends.append(self._train(cell.base))
            self.trains[cell.id] = self._add(TrainWork(cell=cell), depends)
        return self.trains[cell.id]
