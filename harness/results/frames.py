"""Results as polars frames, for notebooks and for the tables of `harness.reports`.

    results = open_results("results/smoke")
    results.images().group_by("variant", "dataset_label", "condition", "protocol", "metric").agg(pl.mean("value"))

Nothing here imports PyTorch or runs a plug-in. The columns are those of `harness.results.schema`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from harness.api.declaration import declaration
from harness.cells.cell import Cell
from harness.cells.overlaps import declared_overlaps
from harness.cells.suite import DATASET_DIGITS, ResolvedSuite, SuiteMetric
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.identity import digest, text_digest
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.planning.assess import Assessment
from harness.records import store
from harness.records.mirrored import bring_results
from harness.records.model import RunRecord
from harness.results.columns import Column
from harness.results.comparison import Bases, configuration
from harness.results.schema import CELLS, COLUMN, COVERAGE, CURVES, IMAGES, METRICS, NAMES, TREATMENT
from harness.results.shelf import shelve
from harness.results.suites import read_suites
from harness.results.survey import Survey, SurveyedCell, merged, survey
from harness.storage.copies import folder_of, shown_place


def open_results(folder: str | Path, data: str | Path | None = None) -> Results:
    """The results of all suites that were run into a folder.

    `data`: the folder of prepared sets, from which outdated results are recognised. Default: $PRIORBENCH_DATA, else
    `data` in the folder. A stored suite that cannot be read is left out; `Results.problems` says why. Raises
    UnknownName when no suite was run there, DataError when none can be read, HarnessError for what is not a path.
    """
    for given in (folder,) if data is None else (folder, data):
        if not isinstance(given, str | os.PathLike):
            raise HarnessError(f"a folder is a path, not {given!r}", hint='open_results("results/smoke")')
    out = folder_of(os.fspath(folder)).absolute()
    prepared = data or os.environ.get("PRIORBENCH_DATA") or out / "data"
    layout = Layout(out, folder_of(os.fspath(prepared)).absolute())
    bring_results(layout)
    stored = read_suites(layout)
    return Results(stored.suites, layout, problems=stored.problems)


class Results:
    """Frames of what suites left in a folder.

    Each suite is read once, when it is first asked for; open the folder again to see later results. Every method takes
    `suite`, the name of one suite, and then gives that suite's labels and columns. By default a frame holds all suites;
    a cell of several suites has one row, with the labels of the first. Damaged, outdated and missing records are never
    errors, nor are plug-ins that are gone: `cells` and `coverage` give the reason. Methods raise UnknownName for a
    suite that was not run here.
    """

    def __init__(
        self,
        suites: Sequence[ResolvedSuite],
        layout: Layout,
        registry: Registry = REGISTRY,
        *,
        problems: Sequence[str] = (),
        known: Mapping[str, Assessment] | None = None,
    ) -> None:
        """`known`: what planning has just read of suites, by name (harness.results.survey)."""
        self.problems = tuple(problems)
        """A line on each stored suite that was left out, because it cannot be read."""
        self._suites = {suite.name: suite for suite in suites}
        self._layout, self._registry, self._known = layout, registry, known or {}
        self._surveys: dict[str | None, Survey] = {}
        self._cells: dict[str | None, pl.DataFrame] = {}

    @property
    def suites(self) -> tuple[str, ...]:
        """The names of the suites."""
        return tuple(self._suites)

    def cells(self, suite: str | None = None) -> pl.DataFrame:
        """One row per cell, schema CELLS: labels, treatment, state, cost of the training."""
        if suite not in self._cells:
            cells = self._survey(suite).cells.values()
            bases = Bases(cells)
            self._cells[suite] = pl.DataFrame([_cell_row(found, bases) for found in cells], schema=CELLS)
        return self._cells[suite].clone()

    def images(self, suite: str | None = None) -> pl.DataFrame:
        """One row per listed cell, data set, protocol, metric and image, schema IMAGES: the value.

        Values may be infinite (PSNR of identical images). What is missing has no row: see `coverage`.
        """
        names = self.cells(suite).select(*NAMES, *TREATMENT)
        joined = self._survey(suite).values.join(names, on="cell", how="left", maintain_order="left")
        return joined.with_columns(self._dataset_label(suite)).select(*IMAGES)

    def coverage(self, suite: str | None = None) -> pl.DataFrame:
        """One row per listed cell, data set, protocol and metric that a suite asks for, schema COVERAGE.

        The number of images that have a value and, where there is none, the reason; and which pictures of the test
        set the cell was trained on, where that is known.
        """
        found, keys = self._survey(suite), {"cell": pl.String(), **COLUMN}
        rows = [
            (each.id, *column, each.why_not(column), overlaps.get(column))
            for each in found.cells.values()
            for overlaps in [self._overlaps(each)]
            for column in each.asked
        ]
        asked = pl.DataFrame(rows, {**keys, "reason": pl.String(), "overlap": pl.String()}, orient="row")
        counts = found.values.group_by(*keys).agg(images=pl.len().cast(pl.Int64))
        joined = asked.join(counts, on=list(keys), how="left", maintain_order="left")
        missing = pl.col("images").is_null()
        return joined.with_columns(
            self._dataset_label(suite),
            images=pl.col("images").fill_null(0),
            reason=pl.when(missing).then(pl.col("reason")),
        ).select(*COVERAGE)

    def curves(self, suite: str | None = None) -> pl.DataFrame:
        """One row per cell and logged step of its training, schema CURVES."""
        events = {cell: store.read_events(self._layout, cell) for cell in self._survey(suite).cells}
        steps = [row for cell, found in events.items() for row in _steps(cell, found)]
        columns = {name: [step[name] for step in steps] for name in _LOGGED}
        logged = pl.DataFrame(columns, schema=_LOGGED, strict=False).drop_nulls("step")
        names = self.cells(suite).select(*NAMES)
        return logged.join(names, on="cell", how="left", maintain_order="left").select(*CURVES)

    def metrics(self, suite: str | None = None) -> pl.DataFrame:
        """One row per metric that suites ask for, schema METRICS: label, unit, direction, decimals in tables.

        The last three are null where the metric's plug-in is gone and the run, of an earlier release, kept no copy.
        """
        rows: dict[str, dict[str, Any]] = {}
        for each in self._chosen(suite):
            registry = shelve(each, self._layout, self._registry).readable
            for metric in each.metrics:
                rows.setdefault(metric.key, _metric_row(metric, registry))
        return pl.DataFrame(list(rows.values()), schema=METRICS)

    def warnings(self, suite: str | None = None) -> tuple[str, ...]:
        """What evaluations found that readers of their values should know, each once; for example, a picture that a
        test set has twice."""
        cells = self._survey(suite).cells.values()
        records = [each.record for each in cells if each.listed and each.record is not None]
        found = [warning for record in records for each in record.evaluations for warning in each.warnings]
        return tuple(dict.fromkeys(found))

    def _overlaps(self, found: SurveyedCell) -> dict[Column, str]:
        """By column, why its test set shares pictures with what a cell was trained on: declared, or found by prints."""
        tests = [(test.dataset, test.split) for test in found.suite_cell.tests]
        declared: dict[tuple[str, str], list[str]] = {}
        for each in declared_overlaps(found.cell, tests, self._registry):
            content = text_digest(each.test.canonical, DATASET_DIGITS)
            declared.setdefault((each.test.called, content), []).append(str(each))
        told = {column: declared.get((column.dataset, column.dataset_digest), []) for column in found.asked}
        whys = {column: (*texts, *filter(None, [found.overlaps.get(column)])) for column, texts in told.items()}
        return {column: "; ".join(texts) for column, texts in whys.items() if texts}

    def _dataset_label(self, suite: str | None) -> pl.Expr:
        """What the first suite that has a label for a data set calls it; else its name."""
        labels = {name: label for each in reversed(self._chosen(suite)) for name, label in each.dataset_labels.items()}
        known = pl.col("dataset_digest").replace_strict(labels, default=None, return_dtype=pl.String)
        return pl.coalesce(known, "dataset").alias("dataset_label")

    def _chosen(self, suite: str | None) -> list[ResolvedSuite]:
        if suite is None:
            return list(self._suites.values())
        if suite not in self._suites:
            hint = did_you_mean(suite, self._suites) or f"bench run {suite}"
            raise UnknownName(f"suite {suite!r} has not been run here", where=shown_place(self._layout.out), hint=hint)
        return [self._suites[suite]]

    def _survey(self, suite: str | None) -> Survey:
        chosen = self._chosen(suite)
        if suite not in self._surveys:
            if suite is None:
                self._surveys[None] = merged([self._survey(each.name) for each in chosen])
            else:
                shelf = shelve(chosen[0], self._layout, self._registry)
                self._surveys[suite] = survey(chosen[0], self._layout, shelf, self._known.get(suite))
        return self._surveys[suite]


_LOGGED = {name: dtype for name, dtype in CURVES.items() if name == "cell" or name not in NAMES}


def _steps(cell_id: str, events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of a cell's `step` events. What such an event lacks is None."""
    for event in events:
        if event.get("event") == "step":
            values = {name: event.get(name) for name in _LOGGED}
            yield values | {"cell": cell_id, "time": _time(event.get("time"))}


def _time(text: Any) -> datetime | None:
    """A time in ISO 8601, taken as UTC where it names no zone; None for what is not one."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _cell_row(found: SurveyedCell, bases: Bases) -> dict[str, Any]:
    cell = found.cell
    return {
        "cell": found.id,
        **found.suite_cell.labels.model_dump(),
        "seed": cell.seed,
        **_treatment(cell),
        "base": bases.base_of(found),
        "network": cell.backbone.name if cell.backbone else None,
        "configuration": configuration(cell),
        "task_digest": _task_digest(cell),
        "earlier": cell.is_earlier,
        "suites": list(found.suites),
        "listed": found.listed,
        "state": found.state,
        "reason": found.said or None,
        **(_of_record(found.record) if found.record else {}),
    }


def _task_digest(cell: Cell) -> str:
    """What tells tasks apart in tables: those of cells of earlier releases, whose data were others, stand alone."""
    return digest({"earlier": cell.task.identity()}, 8) if cell.is_earlier else text_digest(cell.task.canonical, 8)


def _treatment(cell: Cell) -> dict[str, Any]:
    """The fields of the variant; none of a base and the input, whose other fields mean nothing."""
    variant = cell.variant
    if variant.refiner is None:
        return {} if cell.base is None else {"regime": variant.regime}
    return {
        "refiner": variant.refiner.name,
        "prior": variant.prior.name if variant.prior else None,
        "features": variant.features if variant.prior else None,
        "placement": variant.placement,
        "regime": variant.regime,
    }


def _of_record(record: RunRecord) -> dict[str, Any]:
    made = record.provenance
    machine = {"processor": made.processor, "gpus": list(made.gpus), "threads": made.threads}
    training = record.training
    if training is None:
        return machine
    return machine | {
        "steps": training.steps,
        "training_images": training.images,
        "training_seconds": training.seconds,
        "final_loss": training.final_loss,
        "prior_saw": training.prior_saw,
        "backbone_parameters": training.backbone_parameters,
        "added_parameters": training.added_parameters,
        "processes": [leg.processes for leg in training.legs] or [training.processes] * bool(training.images),
        "strategy": [leg.strategy for leg in training.legs],
        "machines": [leg.machine or None for leg in training.legs],
    }


def _metric_row(metric: SuiteMetric, registry: Registry) -> dict[str, Any]:
    row = {"metric": metric.key, "part": metric.part.name, "label": metric.label}
    try:
        traits = declaration(registry, "metric", metric.part.name).traits
    except UnknownName:
        return row
    return row | {"unit": traits.unit, "higher_is_better": traits.higher_is_better, "decimals": traits.decimals}
