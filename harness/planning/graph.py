"""The jobs that cells need, each once, and what they depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.api.asking import keys_of, opened
from harness.api.library import InLibrary
from harness.api.protocols import protocols_of
from harness.api.reference import PartRef
from harness.api.score_parts import score_parts
from harness.api.sets import FeatureSet, PreparedSet, Samples, TestSet
from harness.api.shard_parts import parts_of, shards_in, shards_of
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell
from harness.cells.suite import SuiteCell, SuiteMetric
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.planning.job import (
    EvaluateWork,
    FeaturesWork,
    ScoresWork,
    ShardsWork,
    TrainWork,
    Work,
    cell_id_of,
    conditions_of,
    job_id,
    protocols_by_test,
)
from harness.planning.nodes import CellJobs, HeldOut, JobGraph, JobNode


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


@dataclass(frozen=True)
class _Asked:
    """Some test sets as evaluate work holds them (harness.planning.job)."""

    sets: tuple[Samples, ...]
    protocols: tuple[EvaluationProtocol, ...]
    own: dict[str, tuple[int, ...]]
    conditions: dict[str, dict[str, Any]]
    datasets: Mapping[str, PartRef]
    """By their JSON text."""


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
        # Thousands of cells hold the very same objects. What was made of them stands under their places in memory,
        # beside the objects themselves, so that no other object can have these places.
        self._tested: dict[tuple[int, ...], tuple[object, _Asked]] = {}
        self._held_out: dict[tuple[int, ...], tuple[object, HeldOut]] = {}
        self._trained_on: dict[tuple[int, ...], tuple[object, tuple[list[str], bool]]] = {}

    def cell(self, suite_cell: SuiteCell) -> CellJobs:
        cell = suite_cell.cell
        train = self._train(cell) if cell.backbone is not None else None
        evaluate = None
        if suite_cell.tests:
            asked = self._asked_of(suite_cell.tests)
            tests = tuple(self._test(cell, samples) for samples in asked.sets)
            work = EvaluateWork(
                cell=cell,
                tests=asked.sets,
                metrics=self.metrics,
                protocols=asked.protocols,
                own=asked.own,
                conditions=asked.conditions,
            )
            depends = [job for test in tests for job in test.jobs] + ([train] if train else [])
            parts = self._score_parts(work, tests, train)
            evaluate = self._add(work, [*depends, *(job for jobs in parts for job in jobs)], tests, parts=parts)
        return CellJobs(suite_cell, cell.id, train, evaluate)

    def _asked_of(self, tests: tuple[TestSet, ...]) -> _Asked:
        """What evaluate work holds of test sets, the same for all cells that are tested on these."""
        key = tuple(map(id, tests))
        if key not in self._tested:
            named = [(test, self._protocols(test)) for test in tests]
            drawn = [
                (test.samples(draw), test.condition, protocols)
                for test, protocols in named
                for draw in dict.fromkeys(protocol.draw for protocol in protocols)
            ]
            seen = [(samples, condition) for samples, condition, _ in drawn]
            sets = tuple({samples.model_dump_json(): samples for samples, _ in seen}.values())  # stored: for all draws
            every, own = protocols_by_test((samples, protocols) for samples, _, protocols in drawn)
            datasets = {test.dataset.model_dump_json(): test.dataset for test in tests}
            self._tested[key] = tests, _Asked(sets, every, own, conditions_of(seen), datasets)
        return self._tested[key][1]

    def _score_parts(
        self, work: EvaluateWork, tests: Sequence[HeldOut], train: str | None
    ) -> tuple[tuple[str, ...], ...]:
        """The jobs that score parts of each test set of an evaluation, after what the set and the cell need."""
        numbers = score_parts([self._asked(test.samples.stored)[0] for test in tests]) if self.metrics else ()
        if not any(numbers):
            return ()
        found = []
        for test, parts in zip(tests, numbers, strict=True):
            of = work.model_copy(update={"tests": (test.samples,)})
            depends = [*test.jobs, *([train] if train else [])]
            works = [ScoresWork(of=of, part=part, parts=parts) for part in range(1, parts + 1)]
            found.append(tuple(self._add(each, depends) for each in works))
        return tuple(found)

    def _protocols(self, test: TestSet) -> tuple[EvaluationProtocol, ...]:
        return protocols_of(self.registry, test.task, test.dataset, self.protocols)

    def tell_tests(self, cells: Sequence[SuiteCell]) -> None:
        """Names in each train job the data sets on which its cell is tested, or one that starts from it or reads it."""
        tests: dict[str, dict[str, PartRef]] = {}
        for each in cells:
            named = self._asked_of(each.tests).datasets if each.tests else {}
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
        self,
        work: Work,
        depends: Iterable[str],
        tests: tuple[HeldOut, ...] = (),
        shards: range = range(0),
        parts: tuple[tuple[str, ...], ...] = (),
    ) -> str:
        identity = job_id(work)
        node = JobNode(identity, work, cell_id_of(work), tuple(dict.fromkeys(depends)), tests, parts, shards)
        self.nodes.setdefault(identity, node)
        return identity

    def _test(self, cell: Cell, samples: Samples) -> HeldOut:
        of = (samples, cell.variant, cell.task, cell.train, cell.recipe)
        key = tuple(map(id, of))
        if key not in self._held_out:
            features = cell.test_features(samples)
            shards = self.shards(samples.stored)
            rows = None if features is None else self._features(features, cell.prior_source)
            self._held_out[key] = of, HeldOut(samples, shards, rows)
        return self._held_out[key][1]

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
            depends, rows = self._read(cell)
            if not rows and cell.prior_source is not None:
                depends = [*depends, self._train(cell.prior_source)]
            if cell.base is not None:
                depends = [*depends, self._train(cell.base)]
            self.trains[cell.id] = self._add(TrainWork(cell=cell), depends)
        return self.trains[cell.id]

    def _read(self, cell: Cell) -> tuple[list[str], bool]:
        """The jobs that make what a training reads, and whether features are among them."""
        of = (cell.variant, cell.task, cell.train, cell.recipe, cell.backbone, cell.base)
        key = (*map(id, of[:5]), cell.base is None)
        if key not in self._trained_on:
            stages = () if cell.ready_made else range(len(cell.recipe.crops))
            shards = [self.shards(cell.train_samples.stored)] if stages else []
            rows = [features for stage in stages if (features := cell.train_features(stage)) is not None]
            made = [self._features(features, cell.prior_source) for features in rows]
            self._trained_on[key] = of, ([*shards, *made], bool(rows))
        return self._trained_on[key][1]
