"""Jobs: the units that the scheduler places. A job file holds all that one worker needs, nothing else travels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.api.reference import Frozen, PartRef
from harness.api.sets import FeatureSet, PreparedSet, Samples
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell
from harness.cells.suite import Labels, Run, SuiteMetric
from harness.core.identity import digest
from harness.records.job_ids import JobKind, job_id_of


class ShardsWork(Frozen):
    """Write one prepared set, or one part of its shards."""

    kind: Literal["shards"] = "shards"
    stored: PreparedSet
    part: int | None = None
    """Which part of the set's shards it writes, 1 to `parts`; None: all that is still lacking, and the set itself."""
    parts: int = 1


class FeaturesWork(Frozen):
    """Encode one prepared set with one prior."""

    kind: Literal["features"] = "features"
    features: FeatureSet
    prior_source: Cell | None = None


class TrainWork(Frozen):
    """Train one cell to its checkpoint."""

    kind: Literal["train"] = "train"
    cell: Cell
    tests: tuple[PartRef, ...] = ()
    """Data sets on which the cell, or one that rests on it, will be tested: none of their pictures may be trained on.
    They are no part of what the job does, and so not of its id."""


class TogetherWork(Frozen):
    """Train several cells behind one pass of the frozen backbone that they share, up to a checkpoint of their last
    step, from which each one's own train job finishes."""

    kind: Literal["together"] = "together"
    of: tuple[TrainWork, ...]
    """What the train jobs do."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(each.cell for each in self.of)


class EvaluateWork(Frozen):
    """Score one cell's checkpoint (or the input itself) on test sets."""

    kind: Literal["evaluate"] = "evaluate"
    cell: Cell
    tests: tuple[Samples, ...]
    metrics: tuple[SuiteMetric, ...]
    """What to compute; the protocols say how."""
    protocols: tuple[EvaluationProtocol, ...] = ()
    """All that score any of the test sets. That of each test set (harness.api.protocols) when empty."""
    own: dict[str, tuple[int, ...]] = {}  # noqa: RUF012 - pydantic copies it
    """The places in `protocols` of those that score a test set, by `<name>/<split>` of the samples; of test sets that
    are not in it, all. Of these each scores the test sets that are drawn as it says."""
    conditions: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - pydantic copies it
    """What messages call test sets by that have one (harness.api.sets.TestSet), by `<name>/<split>` of the samples."""

    def evaluations(self, protocols: Sequence[EvaluationProtocol]) -> Iterator[tuple[Samples, EvaluationProtocol]]:
        """The test sets and the protocols that score them, test set by test set. `protocols`: the work's."""
        for test in self.tests:
            own = self.own.get(f"{test.name}/{test.split}", range(len(protocols)))
            yield from ((test, protocols[place]) for place in own if is_scored(test, protocols[place]))

    def condition(self, samples: Samples) -> dict[str, Any]:
        """The first condition under which a test set stands in columns of its own; empty for most."""
        return self.conditions.get(f"{samples.name}/{samples.split}", {})


class ScoresWork(Frozen):
    """Score one part of the images of one test set; the evaluation of the cell takes the values over."""

    kind: Literal["scores"] = "scores"
    of: EvaluateWork
    """The evaluation, of that test set alone."""
    part: int
    """Which part of its images, 1 to `parts`."""
    parts: int

    @property
    def cell(self) -> Cell:
        return self.of.cell


def conditions_of(tests: Iterable[tuple[Samples, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The conditions of test sets that have one, as evaluate work holds them.

    Of several conditions that make the same inputs, which are scored once, the first.
    """
    found: dict[str, dict[str, Any]] = {}
    for samples, condition in tests:
        found.setdefault(f"{samples.name}/{samples.split}", condition)
    return {name: condition for name, condition in found.items() if condition}


def protocols_by_test(
    tests: Iterable[tuple[Samples, Sequence[EvaluationProtocol]]],
) -> tuple[tuple[EvaluationProtocol, ...], dict[str, tuple[int, ...]]]:
    """All protocols that score any of some test sets, and which of them score each, as evaluate work holds them."""
    found: dict[str, dict[EvaluationProtocol, None]] = {}
    for samples, protocols in tests:
        found.setdefault(f"{samples.name}/{samples.split}", {}).update(dict.fromkeys(protocols))
    every = tuple(dict.fromkeys(protocol for protocols in found.values() for protocol in protocols))
    if all(len(protocols) == len(every) for protocols in found.values()):
        return every, {}
    return every, {name: tuple(map(every.index, protocols)) for name, protocols in found.items()}


def is_scored(test: Samples, protocol: EvaluationProtocol) -> bool:
    """Whether a protocol scores these test images: stored ones always, drawn ones where they are drawn as it says."""
    return test.noise is None or test.draw == protocol.draw


Work = Annotated[
    ShardsWork | FeaturesWork | TogetherWork | TrainWork | ScoresWork | EvaluateWork, Field(discriminator="kind")
]


class Job(Frozen):
    """One unit of work, its prerequisites (job ids) and where it reads and writes."""

    work: Work
    depends: tuple[str, ...] = ()
    tests: tuple[tuple[str, ...], ...] = ()
    """Of an evaluate job, for each test set of its work: those of `depends` that prepare it. When one of them fails,
    that set is left out, and the others are scored. Likewise of a together job, for each of its cells."""
    parts: tuple[tuple[str, ...], ...] = ()
    """Of an evaluate job, for each test set of its work: those of `depends` that score parts of it. When one of them
    fails, the evaluation scores those images itself."""
    ahead: tuple[str, ...] = Field((), exclude_if=lambda ahead: not ahead)
    """Of a train job: those of `depends` that train its cell beside others before. When one of them fails, it goes on
    from wherever that came to."""
    labels: Labels | None = None
    told_apart: str = ""
    """What tells its title from those of other jobs that would have the same."""
    suite: str = ""
    allow_overlap: bool = False
    """Whether it may train on, and be tested on, the same pictures."""
    run: Run = Run()
    attempt: str = ""
    """Which try of the job this is: another text every time it is handed out. Who runs it writes only as long as the
    job's file still says the same (harness.core.fence)."""
    halved: int = 0
    """How often its micro-batch was halved because memory ran out. The batch stays."""
    out: str = ".."
    """This path, `data`, `plugins` and `copies` are said from the folder of the job's file, or absolute."""
    data: str = "../data"
    plugins: tuple[str, ...] = ()
    copies: tuple[str, ...] = Field((), exclude_if=lambda copies: not copies)
    """Of each plug-in the copy beside the results (harness.core.kept), said like them; empty for one without."""
    anew: tuple[str, ...] = ()
    """The cells among those that it reads or writes which this run makes again, in folders of their own."""

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
    def journals(self) -> dict[str, str]:
        """The cells into whose folders it writes, and the job that their events name: of several, each its own."""
        if isinstance(self.work, TogetherWork):
            return {each.cell.id: job_id(each) for each in self.work.of}
        return {} if self.cell_id is None else {self.cell_id: self.id}

    @property
    def processes(self) -> int:
        """How many processes run it together: several for a training alone."""
        if not isinstance(self.work, TrainWork) or self.work.cell.ready_made:
            return 1
        return self.run.ranks(self.run.gpus if isinstance(self.run.gpus, int) else 1)

    @property
    def title(self) -> str:
        """One phrase for people: what this job is about."""
        return title_of(self.work, self.labels, self.told_apart)


def cell_id_of(work: Work) -> str | None:
    """The cell whose record train or evaluate work writes; None for shards and features, which cells share, and for
    parts of an evaluation, of which many run at once."""
    return work.cell.id if isinstance(work, TrainWork | EvaluateWork) else None


def cells_of(work: Work) -> tuple[str, ...]:
    """The cells whose folders a job reads or writes: its own, its base, its prior's source."""
    if isinstance(work, TogetherWork):
        return tuple(dict.fromkeys(cell for each in work.of for cell in cells_of(each)))
    if isinstance(work, TrainWork):
        cells = (work.cell, work.cell.base, work.cell.prior_source)
        return tuple(cell.id for cell in cells if cell is not None)
    if isinstance(work, ScoresWork | EvaluateWork):
        return (work.cell.id,)
    return (work.prior_source.id,) if isinstance(work, FeaturesWork) and work.prior_source is not None else ()


def job_id(work: Work) -> str:
    """`<kind>-<digest of what it does>`; of train and evaluate work the digest is the cell's id."""
    if isinstance(work, TrainWork | EvaluateWork):
        return job_id_of(work.kind, work.cell.id)
    if isinstance(work, FeaturesWork):
        return job_id_of(work.kind, digest(work.features.identity(), 12))
    if isinstance(work, TogetherWork):
        return job_id_of(work.kind, digest([cell.id for cell in work.cells], 12))
    if isinstance(work, ScoresWork):
        (samples,) = work.of.tests
        return job_id_of(work.kind, digest([work.cell.id, samples.identity(), work.part, work.parts], 12))
    content = work.stored.identity()
    return job_id_of(work.kind, digest(content if work.part is None else [content, work.part, work.parts], 12))


def title_of(work: Work, labels: Labels | None, told_apart: str = "") -> str:
    """One phrase for people: what a job is about. A cell without labels is called by its id.

    `told_apart`: what tells the job from others of the same phrase (harness.planning.titles).
    """
    title = _title_of(work, labels)
    return f"{title} ({told_apart})" if told_apart else title


def _title_of(work: Work, labels: Labels | None) -> str:
    if isinstance(work, ShardsWork):
        stored = work.stored
        by = "" if stored.degradation is None else f" degraded by {stored.degradation.name}"
        part = "" if work.part is None else f", part {work.part} of {work.parts}"
        return f"shards {stored.dataset.called}/{stored.split}{by}{part}"
    if isinstance(work, FeaturesWork):
        prior, samples, turned = work.features.prior, work.features.samples, work.features.orientations
        every = f" in {turned} orientations" if turned > 1 else ""
        of = f"{samples.dataset.called}/{samples.split}{_degraded(samples)}{every}"
        return f"features {prior.name} of {of}"
    if isinstance(work, TogetherWork):
        called = labels.title(work.cells[0].seed) if labels else " ".join(cell.id for cell in work.cells)
        return f"train together {called}"
    seed = work.cell.seed
    cell = labels.title(seed) if labels else f"{work.cell.id} seed {seed}"
    if isinstance(work, ScoresWork):
        (samples,) = work.of.tests
        on = f"{samples.dataset.called}/{samples.split}{_degraded(samples)}"
        part = f", part {work.part} of {work.parts}" if work.parts > 1 else ""
        return f"{work.kind} {cell} on {on}{part}"
    return f"{work.kind} {cell}"


def _degraded(samples: Samples) -> str:
    """What makes the pictures, and how its random numbers are drawn unless they follow from names; empty for pictures
    that the data set brings."""
    by = samples.noise or samples.stored.degradation
    drawn = "" if samples.draw == "named" else f", drawn as {samples.draw}"
    return drawn if by is None else f" degraded by {by.name}{drawn}"
