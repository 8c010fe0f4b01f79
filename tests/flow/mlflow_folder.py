"""A folder of results with a default database that MLflow made once, for the tests of tracking."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient

from harness.core.paths import Layout
from harness.tracking.mlflow import CELL, EXPERIMENT, MLflowTracker
from tests.unit.tracking.records import layout_in


def client(layout: Layout) -> MlflowClient:
    return MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")


def runs(layout: Layout) -> dict[str, list]:
    """The live runs of the default database by cell id; the suite's own under ""."""
    experiment = client(layout).get_experiment_by_name(EXPERIMENT)
    found: dict[str, list] = {}
    for run in client(layout).search_runs([experiment.experiment_id]) if experiment else ():
        found.setdefault(run.data.tags.get(CELL, ""), []).append(run)
    return found


def sync(layout: Layout, cells: list[str], name: str = "tiny") -> dict[str, str]:
    """What `bench track sync` does."""
    return dict(MLflowTracker(None, layout, name, verify=True).sync(cells))


def artifacts(layout: Layout, cell_id: str = "") -> Path:
    """The folder of a run's artifacts, beside the database."""
    return layout.out / "mlartifacts" / runs(layout)[cell_id][0].info.run_id / "artifacts"


def moved(layout: Layout, folder: Path) -> Layout:
    """The folder of results under another path, as after `mv`."""
    folder.mkdir()
    shutil.move(layout.out, folder / "out")
    return layout_in(folder)


def execute(layout: Layout, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(layout.out / "mlflow.db")) as database:
        found = database.execute(statement).fetchall()
        database.commit()
    return found
