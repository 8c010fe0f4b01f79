"""Fixtures of whole runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.paths import Layout
from tests.flow.bench import TINY, Bench
from tests.unit.tracking.records import layout_in


@pytest.fixture(scope="session")
def short_home() -> Iterator[Path]:
    """A home folder with a short path: Ray's sockets lie under it, and socket paths end at 107 characters."""
    home = Path(tempfile.mkdtemp(prefix="pb"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def bench(tmp_path: Path, short_home: Path) -> Bench:
    return Bench(tmp_path, short_home)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, short_home: Path) -> Path:
    """The output folder of the tiny suite, run once through Ray and MLflow. Read it, copy it, never write to it."""
    folder = tmp_path_factory.mktemp("finished")
    bench = Bench(folder, short_home)
    (folder / "stdout.txt").write_text(bench.ok("run", TINY, "--out", folder / "out"))
    return folder / "out"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: that takes seconds."""
    from mlflow import MlflowClient  # slow to import, and most tests here do without

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def layout(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An output folder with an empty database of MLflow's, which no server stands in for."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    layout = layout_in(tmp_path)
    layout.out.mkdir()
    shutil.copy(empty_database, layout.out / "mlflow.db")
    return layout
