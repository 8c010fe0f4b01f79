"""What a folder of results holds of one suite: states and records of its cells, and the values that it asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import polars as pl

from harness.api.protocols import protocols_of
from harness.api.sets import TestSet
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell, canonical_protocol, evaluation_id
from harness.cells.suite import ResolvedSuite, SuiteCell, SuiteMetric
from harness.core.errors import DataError
from harness.core.garbage import seldom_collected
from harness.core.identity import digest, text_digest
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.assess import Assessment, assess
from harness.planning.disk import Kept, read_kept
from harness.planning.look import outdated
from harness.planning.missing import one_line
from harness.planning.plan import CellStatus, statuses
from harness.planning.verdict import Reason, Why
from harness.records.labels import condition_text
from harness.records.model import RunRecord
from harness.records.state import CellState
from harness.results import earlier
from harness.results.columns import VALUES, Asked, Column, Tables, column_of
from harness.results.schema import COLUMN
from harness.results.shelf import Shelf, by_record, is_of, without_parts

ScoredTest = tuple[TestSet, EvaluationProtocol]
"""A test set, and a protocol that scores it."""

_NOT_EVALUATED = "not evaluated yet"


@dataclass(frozen=True)
class SurveyedCell:
    """What is known of one cell."""

    suite_cell: SuiteCell
    suites: tuple[str, ...]
    state: CellState
    said: str
    """What planning says of the state; may be empty."""
    record: RunRecord | None = None
    """None when there is none, or when it cannot be trusted."""
    asked: tuple[Column, ...] = ()
    reason: str = ""
    """Why columns are missing; empty when none is."""
    gaps: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Why all columns of one ("metric", key) or ("dataset", name) are missing."""
    left_out: Mapping[Column, str] = field(default_factory=dict)
    """Why columns are missing that could not be computed of some image."""
    overlaps: Mapping[Column, str] = field(default_factory=dict)
    """Which pictures of the test set the cell was found to be trained on."""

    @property
    def cell(self) -> Cell:
        return self.suite_cell.cell

    @property
    def id(self) -> str:
        return self.cell.id

    @property
    def listed(self) -> bool:
        return self.suite_cell.listed

    def why_not(self, column: Column) -> str:
        """Why a column is missing."""
        by_metric, by_dataset = ("metric", column.metric), ("dataset", column.dataset)
        return self.gaps.get(by_metric) or self.gaps.get(by_dataset) or self.left_out.get(column) or self.reason


@dataclass(frozen=True)
class Survey:
    """Cells by id in the suite's order, and their values, a frame of the schema VALUES."""

    cells: Mapping[str, SurveyedCell]
    values: pl.DataFrame


@seldom_collected()
def survey(suite: ResolvedSuite, layout: Layout, shelf: Shelf, known: Assessment | None = None) -> Survey:
    """Reads the records and per-image values of a suite. What is damaged or outdated is left out, with the reason.

    `shelf` holds the parts of the suite's plug-ins. `known`: what planning has just read of the folder, so that no
    record is read twice; it is taken where it is of this very suite.
    """
    judged = [each for each in suite.cells if shelf.judged(each)]
    registry, tables = shelf.planned, Tables(layout)
    if known is not None and known.is_of(judged, layout, registry):
        assessment = known
    else:
        assessment = assess(judged, suite.metrics, suite.protocols, layout, registry, ())
    states = [without_parts(status, shelf.lost(status.suite_cell)) for status in statuses(assessment)]
    cells: list[SurveyedCell] = []
    for jobs, status in zip(assessment.whole.cells, states, strict=True):
        scored = _scored_by(jobs.suite_cell, suite, registry)
        asked = _asked(jobs.suite_cell, suite.metrics, scored) if jobs.suite_cell.listed else ()
        found = SurveyedCell(jobs.suite_cell, (suite.name,), status.state, status.reason, asked=_columns(asked))
        stale = None if assessment.is_sound(jobs) else outdated(jobs, assessment.whole, assessment.disk)
        found = _with_record(found, assessment.disk.kept[found.id], stale)
        cells.append(_with_values(found, tables, asked))
    every = {found.id: (found, status) for found, status in zip(cells, states, strict=True)}
    unjudged = [each for each in suite.cells if not shelf.judged(each)]
    every |= {each.id: (each, status) for each, status in _by_their_records(unjudged, suite, shelf, tables)}
    values = tables.values()
    for cell_id, error in tables.faults.items():
        found, status = every[cell_id]
        every[cell_id] = replace(found, reason=_unsound(error)), status
    there = set(values.select("cell", *COLUMN).unique().iter_rows())
    order = dict.fromkeys(each.cell.id for each in suite.cells)
    return Survey({cell_id: _explained(*every[cell_id], there) for cell_id in order}, values)


def _by_their_records(
    cells: Sequence[SuiteCell], suite: ResolvedSuite, shelf: Shelf, tables: Tables
) -> Iterator[tuple[SurveyedCell, CellStatus]]:
    """Cells that planning cannot judge: their records alone say what there is."""
    kept = {each.cell.id: read_kept(tables.layout, each.cell.id) for each in cells}
    labels: dict[str, list[str]] = {}
    for each in cells:
        if (record := kept[each.cell.id].record) is not None:
            labels.setdefault(each.labels.task, []).extend(found.protocol for found in record.evaluations)
    for each in cells:
        mine = kept[each.cell.id]
        scored = _scored_once(each, suite, mine.record, shelf, labels.get(each.labels.task, []))
        asked = scored if each.listed else ()
        plain = by_record(each, suite, mine.record)
        status = without_parts(plain, shelf.lost(each))
        found = SurveyedCell(each, (suite.name,), status.state, status.reason, asked=_columns(asked))
        found = _with_record(found, mine, earlier.outdated(each.cell, mine, partial(read_kept, tables.layout)))
        if each.cell.is_earlier and found.reason in ("", _NOT_EVALUATED):
            found = replace(found, reason=earlier.MADE_ANEW)
        yield _with_values(found, tables, asked), status


def _scored_once(
    suite_cell: SuiteCell, suite: ResolvedSuite, record: RunRecord | None, shelf: Shelf, labels: Sequence[str]
) -> Asked:
    """The columns of a cell that planning cannot judge: as its task says, else as records do (`labels`)."""
    cell = suite_cell.cell
    if not shelf.knows_task(suite_cell):
        return _asked_on_record(suite_cell, suite, record, labels)
    scored = _scored_by(suite_cell, suite, shelf.planned)
    return [
        ((name, metric.key), column_of(test, protocol.label, earlier.protocol_digest(protocol), metric.key))
        for name, test, protocol in earlier.evaluations(cell, scored)
        for metric in suite.metrics
    ]


def _asked_on_record(
    suite_cell: SuiteCell, suite: ResolvedSuite, record: RunRecord | None, labels: Sequence[str]
) -> Asked:
    """As `_asked`, by the protocols of the record, else by those of other records of the task (`labels`)."""
    found = []
    for test in suite_cell.tests:
        known = record.evaluations if record else ()
        scored = {each.protocol: each.id for each in known if is_of(each, test)}
        missing = {
            label: f"{test.dataset.called} {condition_text(test.condition)} {label}"
            for label in dict.fromkeys(labels or ["unknown/v0"])
        }
        for label, evaluation in (scored or missing).items():
            for metric in suite.metrics:
                content = digest({"earlier": label} if suite_cell.cell.is_earlier else label, 8)
                found.append(((evaluation, metric.key), column_of(test, label, content, metric.key)))
    return found


def merged(surveys: Sequence[Survey]) -> Survey:
    """The cells of several suites, each once, with the labels that the first suite gives it and the columns of all."""
    if len(surveys) == 1:
        return surveys[0]
    cells: dict[str, SurveyedCell] = {}
    for each in surveys:
        for cell_id, found in each.cells.items():
            known = cells.get(cell_id)
            if known is not None and found.listed and not known.listed:
                del cells[cell_id]  # its position is where it is listed first
            cells[cell_id] = found if known is None else _joined(known, found)
    values = pl.concat([VALUES.to_frame(), *(each.values for each in surveys)])
    return Survey(cells, values.unique(["cell", *COLUMN, "image"], keep="last", maintain_order=True))


def _joined(known: SurveyedCell, other: SurveyedCell) -> SurveyedCell:
    """One cell as two suites see it: it is done when it is done for both."""
    undone = known if known.state != "done" else other
    return replace(
        known,
        suite_cell=known.suite_cell if known.listed else other.suite_cell,
        suites=(*known.suites, *other.suites),
        state=undone.state,
        said=undone.said,
        record=known.record or other.record,
        asked=tuple(dict.fromkeys((*known.asked, *other.asked))),
        reason=known.reason or other.reason,
        gaps={**known.gaps, **other.gaps},
        left_out={**known.left_out, **other.left_out},
        overlaps={**known.overlaps, **other.overlaps},
    )


def _scored_by(suite_cell: SuiteCell, suite: ResolvedSuite, registry: Registry) -> list[ScoredTest]:
    """The test sets of a cell, each under every protocol that scores it."""
    return [
        (test, protocol)
        for test in suite_cell.tests
        for protocol in protocols_of(registry, test.task, test.dataset, suite.protocols)
    ]


def _asked(suite_cell: SuiteCell, metrics: Sequence[SuiteMetric], scored: Sequence[ScoredTest]) -> Asked:
    """The columns that a suite asks for in a cell, each with the value that fills it. Conditions under which the same
    inputs are made share their evaluation: it fills a column of each.
    """
    return [
        (
            (evaluation, metric.key),
            column_of(test, protocol.label, text_digest(canonical_protocol(protocol), 8), metric.key),
        )
        for test, protocol in scored
        for evaluation in [evaluation_id(suite_cell.cell, test.samples(protocol.draw), protocol)]
        for metric in metrics
        if metric.is_measured(protocol)
    ]


def _columns(asked: Asked) -> tuple[Column, ...]:
    return tuple(dict.fromkeys(column for _, column in asked))


def _with_record(found: SurveyedCell, kept: Kept, stale: Reason | None) -> SurveyedCell:
    """The cell with its record, and why values would be missing. `stale`: why the record must not be shown."""
    if stale or kept.record is None:
        return replace(found, reason=f"stale: {stale}" if stale else "")
    failure = None if _of_some_columns(kept.record) else kept.failure
    reason = str(failure) if failure else _NOT_EVALUATED if kept.record.training else ""
    return replace(found, record=kept.record, reason=reason)


def _of_some_columns(record: RunRecord) -> bool:
    """Whether the last attempt failed at certain columns alone, and so explains no other gap."""
    whys = (why for evaluation in record.evaluations for why in evaluation.left_out.values())
    return record.failure is not None and any(why in record.failure.message for why in whys)


def _with_values(found: SurveyedCell, tables: Tables, asked: Asked) -> SurveyedCell:
    """Adds the values of the columns that the record vouches for to `tables`; the cell with the reason if it cannot."""
    if found.record is None:
        return found
    record, evaluations = found.record, found.record.evaluations
    vouched = {(evaluation.id, metric) for evaluation in evaluations for metric in evaluation.metrics}
    whys = {(each.id, metric): why for each in evaluations for metric, why in each.left_out.items()}
    kinds = {(each.id, metric): kind for each in evaluations for metric, kind in each.left_out_kinds.items()}
    told = {
        # a metric that is on record without values was not to have any
        column: whys[name] if name in vouched else str(Reason(Why.FAILED, kinds.get(name, "data"), whys[name]))
        for name, column in asked
        if name in whys
    }
    shared = {evaluation.id: evaluation.overlap for evaluation in evaluations if evaluation.overlap}
    seen = {column: shared[name[0]] for name, column in asked if name[0] in shared}
    found = replace(found, left_out=told, overlaps=seen)
    try:
        tables.add(record, [(name, column) for name, column in asked if name in vouched])
    except DataError as error:
        return replace(found, reason=_unsound(error))
    return found


def _unsound(error: DataError) -> str:
    """Why a table of images has no values."""
    return f"stale: {one_line(error)}"


def _explained(found: SurveyedCell, status: CellStatus, there: Collection[tuple[str, ...]]) -> SurveyedCell:
    """Adds what planning knows to a cell that lacks something; removes the reason of a complete one."""
    if all((found.id, *column) in there for column in found.asked):
        return replace(found, reason="")
    if status.state == "blocked" and not status.gaps:
        return replace(found, reason=f"blocked: {status.reason}")
    gaps: dict[tuple[str, str], str] = {("dataset", name): why for name, why in status.lost.items()}
    gaps |= {(gap.kind, gap.name): f"blocked: {gap.reason}" for gap in status.gaps}
    own = "" if found.reason == _NOT_EVALUATED else found.reason
    return replace(found, reason=own or status.failure or found.reason or "not run yet", gaps=gaps)
