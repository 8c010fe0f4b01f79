"""The evaluations of one cell while a job adds to them: what is on record, what is lacking, saved set by set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.api.protocols import protocols_of
from harness.api.reference import PartRef
from harness.api.sets import Samples
from harness.api.task import EvaluationProtocol
from harness.cells.cell import evaluation_id
from harness.cells.sights import sight_beside_prior, told
from harness.cells.suite import DATASET_DIGITS
from harness.core.errors import DataError
from harness.core.identity import digest
from harness.core.registry import Registry
from harness.jobs.context import Context
from harness.jobs.inputs import Inputs, scorable
from harness.jobs.provenance import provenance
from harness.jobs.scoring import Evaluation, Scored, Trouble
from harness.planning.job import EvaluateWork, Job, is_scored
from harness.records import store
from harness.records.labels import condition_text, samples_digest
from harness.records.migrate import Untouchable
from harness.records.model import EvaluationRecord, Provenance, RunRecord


@dataclass(frozen=True)
class Pass:
    """One test set whose images are restored once, and scored under every protocol that lacks values."""

    samples: Samples
    evaluations: tuple[Evaluation, ...]
    jobs: tuple[str, ...] = ()
    """The jobs that prepare it, where the plan names them."""
    parts: tuple[str, ...] = ()
    """The jobs that score parts of it."""
    condition: Mapping[str, Any] = field(default_factory=dict)
    """The options under which it stands in columns of its own; empty for most."""

    @property
    def title(self) -> str:
        """What messages call it: the data set, and the condition where there is one."""
        return f"{self.samples.dataset.called} {condition_text(self.condition)}".rstrip()


def lacking(evaluation: Evaluation) -> dict[str, PartRef]:
    """The metrics that have no value of their present version on record."""
    on_record = evaluation.before.metrics if evaluation.before else {}
    return {key: part for key, part in evaluation.metrics.items() if on_record.get(key) != part.version}


def passes(job: Job, known: Mapping[str, EvaluationRecord], registry: Registry) -> list[Pass]:
    """The test sets and protocols without a present value of some metric of the job.

    Only these metrics are computed: the others have their values. `known`: the evaluations on record, by id.
    """
    work = job.work
    assert isinstance(work, EvaluateWork), work.kind
    preparing = dict(zip((test.model_dump_json() for test in work.tests), job.tests, strict=False))
    scoring = dict(zip((test.model_dump_json() for test in work.tests), job.parts, strict=False))
    found: dict[str, Pass] = {}
    for samples, protocol in _evaluations(work, registry):
        name = evaluation_id(work.cell, samples, protocol)
        metrics = {metric.key: metric.part for metric in work.metrics if metric.is_measured(protocol)}
        evaluation = Evaluation(name, protocol, metrics, known.get(name))
        if asked := lacking(evaluation):
            evaluation = replace(evaluation, metrics=asked)
            written = samples.model_dump_json()
            jobs = preparing.get(written, ()), scoring.get(written, ())
            each = found.get(written, Pass(samples, (), *jobs, work.condition(samples)))
            found[written] = replace(each, evaluations=(*each.evaluations, evaluation))
    return list(found.values())


def _evaluations(work: EvaluateWork, registry: Registry) -> Iterator[tuple[Samples, EvaluationProtocol]]:
    """The test sets and the protocols that score them; work that names no protocols has those of each test set."""
    if work.protocols:
        yield from work.evaluations(work.protocols)
        return
    for samples in work.tests:
        for protocol in protocols_of(registry, work.cell.task, samples.dataset, ()):
            if is_scored(samples, protocol):
                yield samples, protocol


@dataclass
class Evaluated:
    """What is on record of the cell, and what this job adds to it."""

    job: Job
    context: Context
    record: RunRecord | None
    evaluations: dict[str, EvaluationRecord] = field(default_factory=dict)
    rows: list[store.ImageRow] = field(default_factory=list)
    data: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    kept: bool = False
    """Whether values stay that were there before."""

    @classmethod
    def open(cls, job: Job, context: Context) -> Evaluated:
        """What the cell's record says; without evaluations when their rows are damaged, so that all are done again.

        Raises Untouchable when the rows cannot be read now, and may be sound.
        """
        assert isinstance(job.work, EvaluateWork), job.work.kind
        record = context.record(job.work.cell.id)
        if record is None or not record.evaluations:
            return cls(job, context, record)
        try:
            table = store.load_images(context.layout, record.cell_id)
        except Untouchable:
            raise
        except DataError:
            return cls(job, context, record)
        rows = list(map(store.ImageRow, *(column.to_pylist() for column in table.columns)))
        evaluations = {evaluation.id: evaluation for evaluation in record.evaluations}
        return cls(job, context, record, evaluations, rows, kept=True)

    def refused_before(self, evaluation: Evaluation, inputs: Inputs) -> dict[str, Trouble]:
        """The metrics that refused one of these very images before, and why."""
        before = evaluation.before
        return {
            key: Trouble(before.left_out.get(key, ""), lasting=True)
            for key, part in lacking(evaluation).items()
            if before is not None and before.refused.get(key) == self._conditions(inputs, part)
        }

    def add(
        self,
        each: Pass,
        found: Mapping[str, Scored],
        inputs: Inputs | None,
        seconds: float,
        warnings: Sequence[str] = (),
    ) -> list[Trouble]:
        """Adds what came of a test set, by the evaluation's id, and saves it. Gives why something is left out.

        Older values stay of the metrics that were neither scored nor left out. `inputs`: None when the set could not
        be opened.
        """
        for evaluation in each.evaluations:
            scored = found[evaluation.id]
            gone = {*scored.metrics, *scored.left_out, *scored.without}
            self.rows = [row for row in self.rows if row.evaluation != evaluation.id or row.metric not in gone]
            self.rows += scored.rows
            self.evaluations[evaluation.id] = self._described(each, evaluation, scored, inputs, seconds, warnings)
        if inputs is not None:
            self.data |= inputs.data
            self.weights |= inputs.weights
            self.skipped |= inputs.skipped
        self.save("trained")
        return [trouble for scored in found.values() for trouble in scored.left_out.values()]

    def _described(
        self,
        each: Pass,
        evaluation: Evaluation,
        scored: Scored,
        inputs: Inputs | None,
        seconds: float,
        warnings: Sequence[str],
    ) -> EvaluationRecord:
        before = evaluation.before
        kept = before.metrics if before else {}
        gone = {*scored.metrics, *scored.left_out, *scored.without}
        still = {key: why for key, why in before.left_out.items() if key not in gone} if before else {}
        kinds = {key: kind for key, kind in before.left_out_kinds.items() if key in still} if before else {}
        refused = {key: value for key, value in before.refused.items() if key in still} if before else {}
        if inputs is not None:
            new = {key: evaluation.metrics[key] for key, trouble in scored.left_out.items() if trouble.lasting}
            refused |= {key: self._conditions(inputs, part) for key, part in new.items()}
        known = before.warnings if before else ()
        warnings = (*warnings, *self._seen_otherwise(each, evaluation, inputs))
        return EvaluationRecord(
            id=evaluation.id,
            dataset=each.samples.dataset.called,
            split=each.samples.split,
            protocol=evaluation.protocol.label,
            dataset_digest=digest(each.samples.dataset.identity(), DATASET_DIGITS),
            samples=samples_digest(each.samples),
            condition=dict(each.condition),
            metrics={key: version for key, version in kept.items() if key not in scored.left_out}
            | scored.metrics
            | {key: evaluation.metrics[key].version for key in scored.without},
            images=_images(before, inputs),
            seconds=seconds,
            mean=evaluation.protocol.mean,
            left_out=still | {key: trouble.why for key, trouble in scored.left_out.items()} | scored.without,
            left_out_kinds=kinds | {key: each.kind for key, each in scored.left_out.items() if each.kind != "data"},
            refused=refused,
            overlap=scored.overlap or (before.overlap if before else ""),
            warnings=tuple(warnings) or known,
        )

    def _seen_otherwise(self, each: Pass, evaluation: Evaluation, inputs: Inputs | None) -> tuple[str, ...]:
        """What readers should know where the network got images at another size than the prior."""
        assert isinstance(self.job.work, EvaluateWork), self.job.work.kind
        sides = sight_beside_prior(self.job.work.cell, evaluation.protocol, self.context.registry)
        if sides is None or inputs is None:
            return ()
        index = inputs.opened.index
        same = ((index.heights == sides[0]) & (index.widths == sides[1])).all()
        return () if same else (told(evaluation.protocol, each.title, sides),)

    def _conditions(self, inputs: Inputs, part: PartRef) -> str:
        """Digest of what a refusal depends on: the images and prior rows, the cell's weights, the metric."""
        training = self.record.training if self.record else None
        weights = training.checkpoint_sha256 if training else None
        return digest([inputs.data, weights, part.identity()])

    def save(self, status: str) -> None:
        """Rows first, then the record that holds their digest."""
        job, layout = self.job, self.context.layout
        assert isinstance(job.work, EvaluateWork), job.work.kind
        cell = job.work.cell
        now = provenance(threads=job.run.cpus, data=self.data, weights=self.weights, skipped=self.skipped)
        changes: dict[str, object] = {
            "status": status,
            "images_sha256": store.save_images(layout, cell.id, self.rows),
            "evaluations": tuple(self.evaluations.values()),
            "failure": None,
        }
        if self.record is None:
            labels = job.labels.model_dump() if job.labels else {}
            dumped = cell.model_dump(mode="json")
            self.record = RunRecord(cell_id=cell.id, status="done", labels=labels, cell=dumped, provenance=now)
        else:
            before = self.record.provenance
            added = self.record.training or self.kept or self.data == {}
            changes["provenance"] = _merged(before, now) if added else now
        self.record = self.record.model_copy(update=changes)
        store.save(layout, self.record)


def _images(before: EvaluationRecord | None, inputs: Inputs | None) -> int:
    """How many images were scored: now, or before where the set could not be opened now."""
    if inputs is None:
        return before.images if before else 0
    return len(scorable(inputs.opened))


def _merged(training: Provenance, now: Provenance) -> Provenance:
    """The provenance of the training, with the data and weights that the evaluation read added."""
    added = {name: getattr(training, name) | getattr(now, name) for name in ("data", "weights", "skipped")}
    return training.model_copy(update=added)
