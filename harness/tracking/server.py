"""One suite's runs on one MLflow server: a parent run for the suite, a child run for each cell."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.api.sets import TestSet
from harness.cells.suite import ResolvedSuite
from harness.core.identity import file_sha256, unsealed
from harness.core.paths import Layout, write_bytes
from harness.records.model import RunRecord
from harness.records.store import images_of, read_events
from harness.tracking import entries
from harness.tracking.batch import Batch
from harness.tracking.database import ARTIFACTS, artifacts_beside, database_file, follow, local_path
from harness.tracking.names import LONGEST_NAME, LONGEST_PARAMETER, cut_names, mlflow_name, stored_text

EXPERIMENT = "priorbench"
SUITE, CELL, RECORD, CURVE = "priorbench.suite", "priorbench.cell", "priorbench.record", "priorbench.curve"
"""Tags: a run's suite; a child's cell, SHA-256 of the record it shows, and digest of its loss curve."""
PARENT = "mlflow.parentRunId"

_AT_ONCE = 1.0
"""Seconds within which a server makes a run that was asked for once: MLflow asks again where no answer came, and the
run may have been made all the same."""


def stored_suite(layout: Layout, suite: str) -> ResolvedSuite | None:
    """A suite as it lies in the folder of results; None when it cannot be read."""
    try:
        return ResolvedSuite.model_validate_json(json.dumps(unsealed(layout.suite(suite).read_bytes()).content))
    except (OSError, ValueError):
        return None


def _best(runs: Sequence[Any]) -> Any:
    """The oldest of some runs that shows a record, else the oldest: what was asked for twice is empty."""
    return next((run for run in runs if RECORD in run.data.tags), runs[0])


class Server:
    """A run belongs to its cell by tags, so that a repeat updates it and a lost ledger makes no second one."""

    def __init__(self, uri: str, layout: Layout, suite: str, *, own: bool = False) -> None:
        """`own`: whether the database is the one in the folder of results."""
        from mlflow import MlflowClient

        self.uri, self.layout, self.suite, self._own = uri, layout, suite, own
        self.client: Any = MlflowClient(uri)
        found = self.client.get_experiment_by_name(EXPERIMENT)
        self._sure = True
        """Whether no run can have been made twice."""
        self.deleted = found is not None and found.lifecycle_stage == "deleted"
        self.experiment: str | None = str(found.experiment_id) if found else None
        self.runs = self._find_runs()

    @cached_property
    def _resolved(self) -> ResolvedSuite | None:
        return stored_suite(self.layout, self.suite)

    def _find_runs(self) -> dict[str, Any]:
        """Runs of the suite by cell id, the parent under ""; of several that one cell has by accident, `_best`."""
        return {cell_id: _best(runs) for cell_id, runs in self._all_runs().items()}

    def _all_runs(self) -> dict[str, list[Any]]:
        """Runs of the suite by cell id, the oldest first."""
        runs: dict[str, list[Any]] = {}
        token = None
        while self.experiment is not None:
            page = self.client.search_runs(
                [self.experiment],
                f"tags.`{SUITE}` = '{self.suite}'",
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                runs.setdefault(run.data.tags.get(CELL, ""), []).append(run)
            token = page.token
            if not token:
                break
        return runs

    def _once_each(self) -> dict[str, Any]:
        """As `_find_runs`; the others of a cell are deleted."""
        found = {}
        for cell_id, runs in self._all_runs().items():
            found[cell_id] = _best(runs)
            for run in runs:
                if cell_id and run is not found[cell_id]:
                    self.client.delete_run(run.info.run_id)
        return found

    def prepare(self) -> None:
        """Creates the experiment and the parent run when they are missing; stores the resolved suite with it.

        An experiment that was deleted is restored, as no second one may have its name.
        """
        file = database_file(self.uri)
        if self.experiment is None:
            place = (file.parent / ARTIFACTS).as_uri() if file is not None else None
            self.experiment = self.client.create_experiment(EXPERIMENT, artifact_location=place)
        if self.deleted:
            self.client.restore_experiment(self.experiment)
        if file is not None:
            follow(file, str(self.experiment), own=self._own)
        self.runs = self._once_each()
        if "" not in self.runs:
            self.runs[""] = self.client.create_run(self.experiment, run_name=self.suite, tags={SUITE: self.suite})
        self._log_suite()

    def _log_suite(self) -> None:
        parent, resolved = self.runs[""], self.layout.suite(self.suite)
        if not resolved.is_file():
            return
        sha = file_sha256(resolved)
        if parent.data.tags.get(RECORD) != sha or self._lacks(parent, {"suite.json": resolved}):
            self._log_files(parent, {"suite.json": resolved})
            self.client.set_tag(parent.info.run_id, RECORD, sha)

    def mirror(self, cell_id: str, sha: str, record: RunRecord) -> None:
        """Makes the cell's run show the record. The tag that says so is written last."""
        points = entries.curve(read_events(self.layout, cell_id))
        curve = entries.curve_digest(points)
        run = self.runs.get(cell_id)
        if run is not None and run.data.tags.get(CURVE, curve) != curve:
            self.client.delete_run(run.info.run_id)
            run = None
        if run is None:
            run = self._create(cell_id, record, curve)
        parent, files = self.runs[""].info.run_id, self._files(cell_id)
        if run.data.tags.get(PARENT) != parent:
            self.client.set_tag(run.info.run_id, PARENT, parent)
        if run.data.tags.get(RECORD) == sha:
            if self._lacks(run, files):
                self._log_files(run, files)
            return
        self._log_files(run, files)
        self.client.update_run(run.info.run_id, status=entries.STATUS[record.status])
        shown = run.data.tags.get(CURVE) == curve and RECORD in run.data.tags
        batch = self._batch(record, () if shown else points, known=run.data.params)
        batch.tags |= {CURVE: curve, RECORD: sha}
        for call in batch.calls():
            self.client.log_batch(run.info.run_id, **call)
        self.runs[cell_id] = batch.added_to(run)

    def _create(self, cell_id: str, record: RunRecord, curve: str) -> Any:
        """A run that names the loss curve that it will show, before it has a point of it."""
        name = " ".join([*record.labels.values(), f"seed {record.cell.get('seed', 0)}"])
        tags = {SUITE: self.suite, CELL: cell_id, CURVE: curve, PARENT: self.runs[""].info.run_id}
        began, sure, self._sure = time.monotonic(), self._sure, False
        run = self.client.create_run(self.experiment, run_name=stored_text(name, LONGEST_NAME), tags=tags)
        self._sure = sure and time.monotonic() - began < _AT_ONCE
        self.runs[cell_id] = run
        return run

    def _batch(self, record: RunRecord, points: Sequence[entries.Point], known: Collection[str]) -> Batch:
        """Parameters that the run has not (`known`: those that it has, as they never change), the loss curve, costs,
        means, and tags, the names among them that had to be cut."""
        found = entries.parameters(record)
        values = entries.costs(record)
        if record.images_sha256 is not None:
            tests, labels = self._asked(record.cell_id)
            values |= entries.means(record, images_of(self.layout, record), tests, labels)
        names = {mlflow_name(name): name for name in found}
        called = {mlflow_name(name): name for name in values}
        now = int(time.time() * 1000)
        return Batch(
            {name: stored_text(found[text], LONGEST_PARAMETER) for name, text in names.items() if name not in known},
            [*points, *(entries.Point(name, values[text], 0, now) for name, text in called.items())],
            cut_names({**names, **called}) | entries.tags(record),
        )

    def _asked(self, cell_id: str) -> tuple[Sequence[TestSet], Mapping[str, str]]:
        """The test sets of a cell in the stored suite, and what that calls data sets; nothing where it has none."""
        suite = self._resolved
        return self._tests.get(cell_id, ()), suite.dataset_labels if suite else {}

    @cached_property
    def _tests(self) -> Mapping[str, Sequence[TestSet]]:
        """The test sets of the cells of the stored suite."""
        found: dict[str, list[TestSet]] = {}
        for each in self._resolved.cells if self._resolved else ():
            found.setdefault(each.cell.id, []).extend(each.tests)
        return found

    def _files(self, cell_id: str) -> dict[str, Path]:
        """The files of a cell that are mirrored, by the name of the artifact."""
        paths = (self.layout.images(cell_id), self.layout.record(cell_id))
        found = {path.name: path for path in paths if path.is_file()}
        samples = self.layout.samples(cell_id)
        strips = sorted(path for path in samples.rglob("*") if path.is_file())
        return found | {f"samples/{path.relative_to(samples).as_posix()}": path for path in strips}

    def _log_files(self, run: Any, files: Mapping[str, Path]) -> None:
        """Stores files as artifacts of these names. MLflow would go on writing where a database in a file said before
        it was moved, so that the artifacts of such a one are written here.
        """
        place = self.place(run) if database_file(self.uri) is not None else None
        for name, path in files.items():
            if place is not None:
                write_bytes(place / name, path.read_bytes())
                continue
            folder, _, plain = name.rpartition("/")
            with tempfile.TemporaryDirectory() as copies:  # the artifact is called as the file
                copy = Path(copies, plain)
                copy.write_bytes(path.read_bytes())
                self.client.log_artifact(run.info.run_id, str(copy), folder or None)

    def _lacks(self, run: Any, files: Mapping[str, Path]) -> bool:
        """Whether some of these artifacts are not there, or of another size."""
        sizes = {name: path.stat().st_size for name, path in files.items()}
        place = self.place(run)
        if place is not None:
            there = {name: place / name for name in sizes}
            return any(not path.is_file() or path.stat().st_size != sizes[name] for name, path in there.items())
        folders = dict.fromkeys(name.rpartition("/")[0] for name in sizes)
        listed = [each for folder in folders for each in self.client.list_artifacts(run.info.run_id, folder or None)]
        known = {each.path: each.file_size for each in listed if not each.is_dir}
        return any(name not in known or known[name] not in (None, size) for name, size in sizes.items())

    def place(self, run: Any) -> Path | None:
        """The folder of a run's artifacts on this machine, which may not exist; None where another machine has them.

        Beside a database in a file when they lie there: the database may have been moved with them.
        """
        file = database_file(self.uri)
        if file is not None and (beside := artifacts_beside(file, run.info.run_id)).is_dir():
            return beside
        return local_path(run.info.artifact_uri)

    def finish(self) -> None:
        """Marks the parent run as finished."""
        if not self._sure:
            self._once_each()
        if "" in self.runs:
            self.client.set_terminated(self.runs[""].info.run_id)
