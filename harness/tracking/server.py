"""One suite's runs on one MLflow server: a parent run for the suite, a child run for each cell."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.api.sets import TestSet
from harness.cells.suite import ResolvedSuite
from harness.core.identity import file_sha256, unsealed
from harness.core.paths import Layout, write_bytes
from harness.records.model import RunRecord
from harness.records.store import load_images, read_events
from harness.tracking import entries
from harness.tracking.database import ARTIFACTS, artifacts_beside, database_file, follow, local_path
from harness.tracking.names import LONGEST_NAME, LONGEST_PARAMETER, LONGEST_TAG, cut_names, mlflow_name, stored_text

EXPERIMENT = "priorbench"
SUITE, CELL, RECORD, CURVE = "priorbench.suite", "priorbench.cell", "priorbench.record", "priorbench.curve"
"""Tags: a run's suite; a child's cell, SHA-256 of the record it shows, and digest of its loss curve."""
PARENT = "mlflow.parentRunId"

METRICS_PER_CALL, ENTRIES_PER_CALL = 1000, 100
"""MLflow's limits of one log_batch: metrics; parameters or tags."""


def stored_suite(layout: Layout, suite: str) -> ResolvedSuite | None:
    """A suite as it lies in the folder of results; None when it cannot be read."""
    try:
        return ResolvedSuite.model_validate_json(json.dumps(unsealed(layout.suite(suite).read_bytes()).content))
    except (OSError, ValueError):
        return None


class Server:
    """A run belongs to its cell by tags, so that a repeat updates it and a lost ledger makes no second one."""

    def __init__(self, uri: str, layout: Layout, suite: str, *, own: bool = False) -> None:
        """`own`: whether the database is the one in the folder of results."""
        from mlflow import MlflowClient

        self.uri, self.layout, self.suite, self._own = uri, layout, suite, own
        self.client: Any = MlflowClient(uri)
        found = self.client.get_experiment_by_name(EXPERIMENT)
        self.deleted = found is not None and found.lifecycle_stage == "deleted"
        self.experiment: str | None = str(found.experiment_id) if found else None
        self.runs = self._find_runs()

    @cached_property
    def _resolved(self) -> ResolvedSuite | None:
        return stored_suite(self.layout, self.suite)

    def _find_runs(self) -> dict[str, Any]:
        """Runs of the suite by cell id, the parent under "". When a cell has two runs by accident, the oldest."""
        runs: dict[str, Any] = {}
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
                runs.setdefault(run.data.tags.get(CELL, ""), run)
            token = page.token
            if not token:
                break
        return runs

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
        self.runs = self._find_runs()
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
            run = self._create(cell_id, record)
        run_id, parent = run.info.run_id, self.runs[""].info.run_id
        if run.data.tags.get(PARENT) != parent:
            self.client.set_tag(run_id, PARENT, parent)
        if run.data.tags.get(RECORD) == sha:
            if self._lacks(run, self._files(cell_id)):
                self._log_files(run, self._files(cell_id))
            return
        self._log_values(run, record, points, curve)
        self._log_files(run, self._files(cell_id))
        self._log_tags(run_id, {**entries.tags(record), RECORD: sha})
        self.client.update_run(run_id, status=entries.STATUS[record.status])
        self.runs[cell_id] = self.client.get_run(run_id)

    def _create(self, cell_id: str, record: RunRecord) -> Any:
        name = " ".join([*record.labels.values(), f"seed {record.cell.get('seed', 0)}"])
        labels = {SUITE: self.suite, CELL: cell_id, PARENT: self.runs[""].info.run_id}
        run = self.client.create_run(self.experiment, run_name=stored_text(name, LONGEST_NAME), tags=labels)
        self.runs[cell_id] = run
        return run

    def _log_values(self, run: Any, record: RunRecord, points: list[entries.Point], curve: str) -> None:
        """Parameters that the run has not, its loss curve, costs and means, and the names that had to be cut."""
        from mlflow.entities import Param

        run_id, found = run.info.run_id, entries.parameters(record)
        names = {mlflow_name(name): name for name in found}
        parameters = [
            Param(name, stored_text(found[text], LONGEST_PARAMETER))
            for name, text in names.items()
            if name not in run.data.params  # they never change, and half of them is there after a kill
        ]
        for start in range(0, len(parameters), ENTRIES_PER_CALL):
            self.client.log_batch(run_id, params=parameters[start : start + ENTRIES_PER_CALL])
        if run.data.tags.get(CURVE) != curve:
            self._log_points(run_id, points)
            self.client.set_tag(run_id, CURVE, curve)
        values = entries.costs(record)
        if record.images_sha256 is not None:
            tests, labels = self._asked(record.cell_id)
            values |= entries.means(record, load_images(self.layout, record.cell_id), tests, labels)
        now = int(time.time() * 1000)
        called = {mlflow_name(name): name for name in values}
        self._log_points(run_id, [entries.Point(name, values[text], 0, now) for name, text in called.items()])
        self._log_tags(run_id, cut_names({**names, **called}))

    def _asked(self, cell_id: str) -> tuple[Sequence[TestSet], Mapping[str, str]]:
        """The test sets of a cell in the stored suite, and what that calls data sets; nothing where it has none."""
        suite = self._resolved
        tests = (
            () if suite is None else [test for each in suite.cells if each.cell.id == cell_id for test in each.tests]
        )
        return tests, suite.dataset_labels if suite else {}

    def _log_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        found = [RunTag(key, stored_text(value, LONGEST_TAG)) for key, value in tags.items()]
        for start in range(0, len(found), ENTRIES_PER_CALL):
            self.client.log_batch(run_id, tags=found[start : start + ENTRIES_PER_CALL])

    def _log_points(self, run_id: str, points: list[entries.Point]) -> None:
        from mlflow.entities import Metric

        for start in range(0, len(points), METRICS_PER_CALL):
            chunk = points[start : start + METRICS_PER_CALL]
            metrics = [Metric(point.name, point.value, point.time_ms, point.step) for point in chunk]
            self.client.log_batch(run_id, metrics=metrics)

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
        if "" in self.runs:
            self.client.set_terminated(self.runs[""].info.run_id)
