"""A database in the folder of results that was half made or damaged: set aside, and the records mirrored anew."""

from __future__ import annotations

import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from mlflow import MlflowClient

from harness.core.errors import HarnessError
from harness.tracking.database import damage, set_aside
from harness.tracking.mlflow import MLflowTracker
from tests.flow.mlflow_folder import runs, sync
from tests.unit.tracking.records import layout_in, leave, leave_suite


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with a suite of two cells, mirrored."""
    layout = layout_in(tmp_path_factory.mktemp("filled"))
    layout.out.mkdir()
    MlflowClient(f"sqlite:///{layout.out / 'empty.db'}").search_experiments()
    shutil.copy(layout.out / "empty.db", layout.out / "mlflow.db")
    cells = [leave(layout, 0), leave(layout, 1)]
    leave_suite(layout, "tiny", range(2))
    assert sync(layout, cells) == {}
    return layout, cells


@pytest.fixture
def ready_made(filled, monkeypatch):
    """In the damaged one's place comes a database without runs, which MLflow would make in seconds."""
    empty = filled[0].out / "empty.db"

    def aside(file):
        place = set_aside(file)
        shutil.copy(empty, file)
        return place

    monkeypatch.setattr("harness.tracking.mlflow.set_aside", aside)


@pytest.fixture
def copy(filled, tmp_path):
    """A copy that no MLflow of this process has opened yet."""
    layout, cells = filled
    shutil.copytree(layout.out, tmp_path / "out")
    return layout_in(tmp_path), cells


def cut(share):
    def damage(file):
        content = file.read_bytes()
        file.write_bytes(content[: max(1, int(len(content) * share))])

    return damage


def torn(file):
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xff" * (4096 * 17)
    file.write_bytes(content)


def folder(file):
    file.unlink()
    file.mkdir()
    (file / "mine").write_text("kept")


def said(statement):
    def damage(file):
        with closing(sqlite3.connect(file)) as database:
            database.execute(statement)
            database.commit()

    return damage


DAMAGES = {
    "text": lambda file: file.write_text("no database at all, but a note of some length"),
    "a tenth": cut(0.1),
    "half": cut(0.5),
    "all but a page": lambda file: file.write_bytes(file.read_bytes()[:-4096]),
    "torn": torn,
    "a folder": folder,
    "no revision": said("DELETE FROM alembic_version"),
    "no table of revisions": said("DROP TABLE alembic_version"),
    "an old revision": said("UPDATE alembic_version SET version_num = '451aebb31d03'"),
    "a table lost": said("DROP TABLE latest_metrics"),
}


@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.usefixtures("ready_made")
def test_a_damaged_database_is_set_aside_and_all_is_mirrored_anew(copy, caplog, damaged, tmp_path):
    layout, cells = copy
    damaged(layout.out / "mlflow.db")
    before = (layout.out / "mlflow.db").is_dir() or (layout.out / "mlflow.db").read_bytes()
    with pytest.raises(HarnessError, match=r"MLflow's database cannot be used: "):
        MLflowTracker.fetch(layout, ["tiny"], layout_in(tmp_path / "fetched"))
    leave(layout, 0, psnr=20.0)
    with caplog.at_level(logging.WARNING):
        assert MLflowTracker(None, layout, "tiny").sync(cells[:1]) == {}  # as a run does, which tells of its own cells
    aside = layout.out / "mlflow.db.damaged-1"
    assert f"It is kept as {aside}" in caplog.text
    assert (aside.is_dir() or aside.read_bytes()) == before
    assert set(runs(layout)) == {"", *cells}
    assert runs(layout)[cells[0]][0].data.metrics["psnr.photos"] == 20.0
    MLflowTracker.fetch(layout, ["tiny"], layout_in(tmp_path / "again"))


def test_an_empty_file_is_filled(copy):
    layout, cells = copy
    (layout.out / "mlflow.db").write_bytes(b"")
    assert MLflowTracker(None, layout, "tiny").behind(cells) == cells
    assert MLflowTracker(None, layout, "tiny").sync(cells[:1]) == {}
    assert set(runs(layout)) == {"", *cells}
    assert not list(layout.out.glob("*.damaged-*"))


def test_a_database_of_the_user_or_of_a_newer_mlflow_is_left_alone(copy, monkeypatch, tmp_path):
    layout, cells = copy
    file = layout.out / "mlflow.db"
    said("UPDATE alembic_version SET version_num = 'ffffffffffff'")(file)
    assert damage(file) == ""
    (reason, _) = sync(layout, cells).values()
    assert "out-of-date database schema" in reason
    assert "does not answer" not in reason
    mine = tmp_path / "mine.db"
    mine.write_text("not a database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mine}")
    (reason, _) = sync(layout, cells).values()
    assert "MLflow's database cannot be used: it is damaged (file is not a database)" in reason
    assert mine.read_text() == "not a database"


def test_a_database_whose_making_was_killed_is_made_again(tmp_path):
    """Killed some time after the file appears; whatever it left, the next start mirrors all."""
    layout = layout_in(tmp_path)
    layout.out.mkdir()
    cells = [leave(layout, 0)]
    file = layout.out / "mlflow.db"
    program = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{file}').search_experiments()"
    making = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    while not file.exists() and making.poll() is None:
        time.sleep(0.01)
    time.sleep(0.8)
    making.send_signal(signal.SIGKILL)
    making.wait()
    assert sync(layout, cells) == {}
    assert set(runs(layout)) == {"", *cells}


def test_sound_databases_are_not_called_damaged(filled, tmp_path):
    layout, _ = filled
    assert damage(layout.out / "mlflow.db") == ""
    assert damage(layout.out / "empty.db") == ""
    assert damage(tmp_path / "none.db") == ""
