"""Records mirrored to MLflow: one parent run per suite, one child run per cell.

MLflow is imported when there is something to mirror. A run belongs to its cell by tags, so that a repeat updates it
and a lost ledger makes no second one. A cell that was trained anew with another loss curve gets a new run, as MLflow
cannot take points back; the old one is deleted.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.paths import Layout, write_bytes
from harness.records.model import RunRecord
from harness.records.store import load, load_images, read_events
from harness.tracking import entries
from harness.tracking.ledger import Ledger

EXPERIMENT = "priorbench"
SUITE, CELL, RECORD, CURVE = "priorbench.suite", "priorbench.cell", "priorbench.record", "priorbench.curve"
"""Tags: a run's suite; a child's cell, SHA-256 of the record it shows, and digest of its loss curve."""

METRICS_PER_CALL, PARAMETERS_PER_CALL = 1000, 100
"""MLflow's limits of one log_batch."""

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Read when MLflow is imported. A server that is down must not hold up a run; the user's own settings stand."""


class Unreachable(HarnessError):
    """The server is down, the database locked, or the artifact store cannot be written."""


class Refused(DataError):
    """The server is there and does not take what it was given."""


def default_uri(layout: Layout) -> str:
    """MLFLOW_TRACKING_URI, else a database in the output folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{layout.out.absolute() / 'mlflow.db'}"


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Imports MLflow, set up; gives the errors of MLflow and its stores as Unreachable or Refused, in one line."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # errors are reported once, by this module
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE":
            raise Refused(f"MLflow does not take it: {first}", where=uri, hint="rename what it names") from error
        raise Unreachable(
            f"MLflow does not answer: {first}", where=uri, hint="bench track sync, once it is back", kind="storage"
        ) from error


class _Server:
    """One suite's runs on one MLflow server."""

    def __init__(self, uri: str, layout: Layout, suite: str) -> None:
        from mlflow import MlflowClient

        self.uri, self.layout, self.suite = uri, layout, suite
        self.client: Any = MlflowClient(uri)
        self.experiment = self._experiment()
        self.runs = self._find_runs()

    def _experiment(self) -> str | None:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id) if found else None

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
        """Creates the experiment and the parent run when they are missing; stores the resolved suite with it."""
        if self.experiment is None:
            local = self.uri.startswith("sqlite")
            place = (self.layout.out.absolute() / "mlartifacts").as_uri() if local else None
            self.experiment = self.client.create_experiment(EXPERIMENT, artifact_location=place)
        if "" not in self.runs:
            self.runs[""] = self.client.create_run(self.experiment, run_name=self.suite, tags={SUITE: self.suite})
        parent, resolved = self.runs[""], self.layout.suite(self.suite)
        if resolved.is_file():
            sha = file_sha256(resolved)
            if parent.data.tags.get(RECORD) != sha:
                with tempfile.TemporaryDirectory() as folder:
                    copy = Path(folder, "suite.json")
                    copy.write_bytes(resolved.read_bytes())
                    self.client.log_artifact(parent.info.run_id, str(copy))
                self.client.set_tag(parent.info.run_id, RECORD, sha)

    def mirror(self, cell_id: str, sha: str, record: RunRecord) -> None:
        """Makes the cell's run show the record. The tag that says so is written last."""
        points = entries.curve(read_events(self.layout, cell_id))
        curve = entries.curve_digest(points)
        run = self.runs.get(cell_id)
        if run is not None and run.data.tags.get(RECORD) == sha:
            return
        if run is not None and run.data.tags.get(CURVE, curve) != curve:
            self.client.delete_run(run.info.run_id)
            run = None
        if run is None:
            run = self._create(cell_id, record)
        run_id = run.info.run_id
        if run.data.tags.get(CURVE) != curve:
            self._log_points(run_id, points)
            self.client.set_tag(run_id, CURVE, curve)
        values = entries.costs(record)
        if record.images_sha256 is not None:
            values |= entries.means(record, load_images(self.layout, cell_id))
        now = int(time.time() * 1000)
        self._log_points(run_id, [entries.Point(name, value, 0, now) for name, value in values.items()])
        self._log_files(run_id, cell_id)
        from mlflow.entities import RunTag

        found = {**entries.tags(record), RECORD: sha}
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in found.items()])
        self.client.update_run(run_id, status=entries.STATUS[record.status])
        self.runs[cell_id] = self.client.get_run(run_id)

    def _create(self, cell_id: str, record: RunRecord) -> Any:
        from mlflow.entities import Param

        name = " ".join([*record.labels.values(), f"seed {record.cell.get('seed', 0)}"])
        parent = self.runs[""].info.run_id
        labels = {SUITE: self.suite, CELL: cell_id, "mlflow.parentRunId": parent}
        run = self.client.create_run(self.experiment, run_name=name, tags=labels)
        parameters = [Param(key, value) for key, value in entries.parameters(record).items()]
        for start in range(0, len(parameters), PARAMETERS_PER_CALL):
            self.client.log_batch(run.info.run_id, params=parameters[start : start + PARAMETERS_PER_CALL])
        return run

    def _log_points(self, run_id: str, points: list[entries.Point]) -> None:
        from mlflow.entities import Metric

        for start in range(0, len(points), METRICS_PER_CALL):
            chunk = points[start : start + METRICS_PER_CALL]
            metrics = [Metric(point.name, point.value, point.time_ms, point.step) for point in chunk]
            self.client.log_batch(run_id, metrics=metrics)

    def _log_files(self, run_id: str, cell_id: str) -> None:
        for path in (self.layout.images(cell_id), self.layout.record(cell_id)):
            if path.is_file():
                self.client.log_artifact(run_id, str(path))
        samples = self.layout.samples(cell_id)
        if samples.is_dir():
            self.client.log_artifacts(run_id, str(samples), "samples")

    def finish(self) -> None:
        """Marks the parent run as finished."""
        if "" in self.runs:
            self.client.set_terminated(self.runs[""].info.run_id)


class MLflowTracker:
    """Mirrors a suite's records. `uri` None: MLFLOW_TRACKING_URI, else `sqlite:///<out>/mlflow.db`.

    With `verify` the server is asked about every cell instead of trusting the ledger. Not for several threads at once.
    """

    def __init__(self, uri: str | None, layout: Layout, suite: str, *, verify: bool = False) -> None:
        self.uri = uri or default_uri(layout)
        self._layout, self._suite, self._verify = layout, suite, verify
        self._ledger = Ledger(layout, self.uri, suite)
        self._server: _Server | None = None

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        """See harness.api.running.Tracker: asks the ledger alone, without importing MLflow."""
        return list(self._ledger.behind(list(cell_ids)))

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        """See harness.api.running.Tracker. Stops at the first sign that the server is not there."""
        behind = self._ledger.behind(list(cell_ids), trust=not self._verify)
        reasons: dict[str, str] = {}
        mirrored: dict[str, str] = {}
        if not behind:
            return reasons
        try:
            with _translated(self.uri):
                server = self._open()
                for cell_id, sha in behind.items():
                    try:
                        record = load(self._layout, cell_id)
                        if record is not None:
                            with _translated(self.uri):
                                server.mirror(cell_id, sha, record)
                            mirrored[cell_id] = sha
                    except DataError as error:  # of this record alone
                        reasons[cell_id] = str(error)
        except Unreachable as error:
            self._server = None  # opened afresh next time: what it knew of the runs may be wrong
            reasons |= {cell_id: str(error) for cell_id in behind if cell_id not in mirrored | reasons}
        if mirrored:
            self._ledger.note(mirrored)
        return reasons

    def _open(self) -> _Server:
        if self._server is None:
            server = _Server(self.uri, self._layout, self._suite)
            server.prepare()
            self._server = server
        return self._server

    def close(self) -> None:
        """Marks the suite's run as finished, if this tracker mirrored anything."""
        if self._server is not None:
            try:
                with _translated(self.uri):
                    self._server.finish()
            except Unreachable:
                logging.getLogger(__name__).info("the suite's run could not be marked as finished")

    @staticmethod
    def fetch(layout: Layout, suites: Sequence[str], into: Layout) -> None:
        """Downloads the records, per-image metrics and resolved suites of every run of these suites into `into`.

        Raises HarnessError when the server does not answer or has none of a suite's runs.
        """
        uri = default_uri(layout)
        if uri == f"sqlite:///{layout.out.absolute() / 'mlflow.db'}" and not (layout.out / "mlflow.db").is_file():
            raise HarnessError("nothing has been mirrored to MLflow yet", where=uri, hint="bench track sync")
        with _translated(uri), tempfile.TemporaryDirectory() as folder:
            for suite in suites:
                server = _Server(uri, layout, suite)
                if not server.runs:
                    raise HarnessError(
                        f"MLflow has no runs of suite {suite!r}", where=uri, hint=f"bench track sync {suite}"
                    )
                for cell_id, run in server.runs.items():
                    wanted = (
                        {"record.json": into.record(cell_id), "images.parquet": into.images(cell_id)}
                        if cell_id
                        else {"suite.json": into.suite(suite)}
                    )
                    _download(server.client, run.info.run_id, wanted, Path(folder, run.info.run_id))


def _download(client: Any, run_id: str, wanted: dict[str, Path], folder: Path) -> None:
    folder.mkdir()
    present = {artifact.path for artifact in client.list_artifacts(run_id)}
    for name, target in wanted.items():
        if name in present:
            write_bytes(target, Path(client.download_artifacts(run_id, name, str(folder))).read_bytes())


def ping(uri: str | None) -> str:
    """One line about the server at `uri`, or about MLflow itself when runs would write a database of their own.

    Raises HarnessError when the server does not answer.
    """
    if not uri:
        from mlflow import __version__

        return f"{__version__}, a database in each folder of results (MLFLOW_TRACKING_URI is not set)"
    with _translated(uri):
        from mlflow import MlflowClient, __version__

        MlflowClient(uri).search_experiments(max_results=1)
    return f"{__version__}, {uri} answers"
