"""Records mirrored to a real MLflow: idempotent, never fatal, caught up later, and back again the same."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from harness.core.errors import HarnessError
from harness.core.identity import digest, file_sha256
from harness.core.paths import Layout, write_text
from harness.records.labels import samples_digest
from harness.records.store import load, load_images, save
from harness.tracking.mlflow import CELL, EXPERIMENT, RECORD, MLflowTracker
from harness.tracking.server import SUITE
from tests.flow.bench import TINY
from tests.unit.tracking.records import layout_in, leave, leave_failed, leave_suite, write_curve


def runs(layout: Layout) -> dict[str, list]:
    """The live runs of the default database by cell id; the suite's own under ""."""
    client = MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found: dict[str, list] = {}
    for run in client.search_runs([experiment.experiment_id]) if experiment else ():
        found.setdefault(run.data.tags.get(CELL, ""), []).append(run)
    return found


def test_a_suite_becomes_a_parent_run_with_a_child_per_cell(layout):
    cells = [leave(layout, 0), leave(layout, 1, psnr=33.0)]
    leave_suite(layout, "tiny", range(2))
    tracker = MLflowTracker(None, layout, "tiny")
    assert tracker.sync(cells) == {}
    tracker.close()
    found = runs(layout)
    assert {cell_id: len(group) for cell_id, group in found.items()} == {"": 1, cells[0]: 1, cells[1]: 1}
    parent, child = found[""][0], found[cells[1]][0]
    assert parent.info.run_name == "tiny"
    assert parent.info.status == child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.run_name == "denoise NAFNet base seed 1"
    assert child.data.params["recipe.steps"] == "300"
    assert child.data.metrics["psnr.photos"] == 33.0
    assert child.data.metrics["train_seconds"] == 12.5
    assert child.data.tags["label.variant"] == "base"
    client = MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")
    history = client.get_metric_history(child.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(20, 0.5), (40, 0.25)]
    assert {artifact.path for artifact in client.list_artifacts(child.info.run_id)} == {
        "record.json", "images.parquet", "samples"
    }  # fmt: skip
    assert (layout.out / "mlartifacts").is_dir()


def test_test_sets_are_called_as_the_suite_calls_them(layout):
    """By the labels and conditions of the stored suite, not by those of the one that scored first."""
    cell_id = leave(layout, 0, psnr=33.0)
    suite = leave_suite(layout, "tiny", range(1))
    (test,), record = suite.cells[0].tests, load(layout, cell_id)
    content = digest(test.dataset.identity(), 8)
    scored = {"samples": samples_digest(test.samples()), "dataset_digest": content, "condition": {"sigma": 25.0}}
    save(layout, record.model_copy(update={"evaluations": (record.evaluations[0].model_copy(update=scored),)}))
    named = suite.model_copy(update={"dataset_labels": {content: "my photos"}})
    write_text(layout.suite("tiny"), named.model_dump_json())
    assert MLflowTracker(None, layout, "tiny").sync([cell_id]) == {}
    assert {name for name in runs(layout)[cell_id][0].data.metrics if name.startswith("psnr")} == {"psnr.my photos"}


def test_repeats_make_nothing_new_with_and_without_the_ledger(layout):
    cells = [leave(layout, 0), leave(layout, 1)]
    leave_suite(layout, "tiny", range(2))
    assert MLflowTracker(None, layout, "tiny").behind(cells) == cells
    assert MLflowTracker(None, layout, "tiny").sync(cells) == {}
    assert MLflowTracker(None, layout, "tiny").behind(cells) == []
    before = {cell_id: [run.info.run_id for run in group] for cell_id, group in runs(layout).items()}
    assert MLflowTracker(None, layout, "tiny").sync(cells) == {}
    (layout.out / "tracking.json").unlink()
    assert MLflowTracker(None, layout, "tiny").sync(cells) == {}
    assert MLflowTracker(None, layout, "tiny", verify=True).sync(cells) == {}
    assert {cell_id: [run.info.run_id for run in group] for cell_id, group in runs(layout).items()} == before


def test_a_finished_suite_is_repeated_without_importing_mlflow(layout):
    cells = [leave(layout, 0)]
    MLflowTracker(None, layout, "tiny").sync(cells)
    program = (
        "import sys\nfrom pathlib import Path\nfrom harness.core.paths import Layout\n"
        "from harness.tracking.mlflow import MLflowTracker\n"
        f"layout = Layout(Path({str(layout.out)!r}), Path({str(layout.data)!r}))\n"
        f"print(MLflowTracker(None, layout, 'tiny').sync({cells!r}), 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} False"


def test_verify_finds_a_run_that_the_server_lost(layout):
    cell_id = leave(layout, 0)
    MLflowTracker(None, layout, "tiny").sync([cell_id])
    client = MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")
    client.delete_run(runs(layout)[cell_id][0].info.run_id)
    assert MLflowTracker(None, layout, "tiny").sync([cell_id]) == {}
    assert cell_id not in runs(layout)
    assert MLflowTracker(None, layout, "tiny", verify=True).sync([cell_id]) == {}
    assert len(runs(layout)[cell_id]) == 1


def test_a_changed_record_updates_its_run(layout):
    cell_id = leave(layout, 0, psnr=30.0)
    tracker = MLflowTracker(None, layout, "tiny")
    tracker.sync([cell_id])
    first = runs(layout)[cell_id][0]
    leave(layout, 0, psnr=34.0)
    assert tracker.sync([cell_id]) == {}
    (again,) = runs(layout)[cell_id]
    assert again.info.run_id == first.info.run_id
    assert again.data.metrics["psnr.photos"] == 34.0
    assert again.data.tags[RECORD] != first.data.tags[RECORD]


def test_a_cell_trained_anew_with_another_curve_gets_a_new_run(layout):
    cell_id = leave(layout, 0)
    tracker = MLflowTracker(None, layout, "tiny")
    tracker.sync([cell_id])
    first = runs(layout)[cell_id][0].info.run_id
    leave(layout, 0, psnr=31.0)
    write_curve(layout, 0, (0.4, 0.2, 0.1))
    assert tracker.sync([cell_id]) == {}
    (again,) = runs(layout)[cell_id]
    assert again.info.run_id != first
    client = MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")
    assert [point.value for point in client.get_metric_history(again.info.run_id, "loss")] == [0.4, 0.2, 0.1]


def test_a_failed_cell_and_one_that_recovers(layout):
    cell_id = leave_failed(layout, 0)
    tracker = MLflowTracker(None, layout, "tiny")
    assert tracker.sync([cell_id]) == {}
    failed = runs(layout)[cell_id][0]
    assert (failed.info.status, failed.data.tags["failure"]) == ("FAILED", "nan")
    leave(layout, 0)
    assert tracker.sync([cell_id]) == {}
    (again,) = runs(layout)[cell_id]
    assert again.info.status == "FINISHED"
    assert again.data.metrics["psnr.photos"] == 30.0


def test_long_curves_go_in_pieces(layout, monkeypatch):
    losses = tuple(0.001 * step for step in range(1, 50))
    cell_id = leave(layout, 0, losses=losses)
    monkeypatch.setattr("harness.tracking.batch.METRICS_PER_CALL", 7)
    assert MLflowTracker(None, layout, "tiny").sync([cell_id]) == {}
    client = MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")
    history = client.get_metric_history(runs(layout)[cell_id][0].info.run_id, "loss")
    assert [point.value for point in history] == list(losses)


def test_a_damaged_record_is_said_and_the_others_go_on(layout):
    broken, fine = leave(layout, 0), leave(layout, 1)
    layout.record(broken).write_text("{")
    reasons = MLflowTracker(None, layout, "tiny").sync([broken, fine])
    assert list(reasons) == [broken]
    assert "damaged" in reasons[broken]
    assert len(runs(layout)[fine]) == 1


def test_fetch_gives_back_what_was_mirrored(layout, tmp_path):
    cells = [leave(layout, 0), leave(layout, 1, psnr=28.125)]
    suite = leave_suite(layout, "tiny", range(2))
    MLflowTracker(None, layout, "tiny").sync(cells)
    into = layout_in(tmp_path / "fetched")
    MLflowTracker.fetch(layout, ["tiny"], into)
    for cell_id in cells:
        assert load(into, cell_id) == load(layout, cell_id)
        assert load_images(into, cell_id).equals(load_images(layout, cell_id))
    assert into.suite("tiny").read_text() == suite.model_dump_json(indent=1) + "\n"


def test_fetch_says_what_is_missing(layout, tmp_path):
    with pytest.raises(HarnessError, match="no runs of suite 'other'"):
        MLflowTracker.fetch(layout, ["other"], layout_in(tmp_path / "f"))
    (layout.out / "mlflow.db").unlink()
    with pytest.raises(HarnessError, match="nothing has been mirrored"):
        MLflowTracker.fetch(layout, ["tiny"], layout_in(tmp_path / "f"))


def test_a_server_that_is_down_is_a_reason_and_is_caught_up(layout, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    cells = [leave(layout, 0), leave(layout, 1)]
    reasons = MLflowTracker(None, layout, "tiny").sync(cells)
    assert list(reasons) == cells
    assert "bench track sync" in reasons[cells[0]]
    assert "127.0.0.1" in reasons[cells[0]]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert MLflowTracker(None, layout, "tiny", verify=True).sync(cells) == {}
    assert set(runs(layout)) == {"", *cells}


def test_a_locked_database_is_a_reason_and_is_caught_up(layout, monkeypatch):
    from mlflow.store.db import utils

    cells = [leave(layout, 0)]
    tracker = MLflowTracker(None, layout, "tiny")
    tracker.sync(cells)
    leave(layout, 0, psnr=35.0)
    monkeypatch.setattr(utils, "sql", _impatient(utils.sql))
    with sqlite3.connect(layout.out / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        reasons = tracker.sync(cells)
        other.execute("ROLLBACK")
    assert "locked" in reasons[cells[0]]
    assert tracker.sync(cells) == {}
    assert runs(layout)[cells[0]][0].data.metrics["psnr.photos"] == 35.0


def _impatient(sql):
    """MLflow waits 20 s for a lock; a test need not."""

    class Sql:
        @staticmethod
        def text(statement: str) -> object:
            return sql.text(statement.replace("busy_timeout = 20000", "busy_timeout = 100"))

        def __getattr__(self, name: str) -> object:
            return getattr(sql, name)

    return Sql()


@pytest.mark.xdist_group("tiny")
def test_a_run_whose_server_is_down_goes_on_and_is_caught_up(finished, bench, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts", "tracking.json"))
    scored = min(path.parent.name for path in (out / "cells").glob("*/images.parquet"))
    bench.environment = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    said = bench.ok("run", TINY, "--out", out, "--executor", "local", "--force", scored)
    assert "tracking is behind: http://127.0.0.1:1" in said
    assert "bench track sync" in said
    bench.environment = {}
    assert "cells are not mirrored yet: bench track sync" in bench.ok("run", TINY, "--out", out)
    assert "11 of 11 cells with a record are mirrored" in bench.ok("track", "sync", out)
    assert "not mirrored" not in bench.ok("run", TINY, "--out", out)
    table = bench.ok("leaderboard", out, "--format", "csv", "--source", "mlflow")
    assert table == bench.ok("leaderboard", finished, "--format", "csv")


def test_a_cell_costs_one_batch_and_five_commits(layout, monkeypatch):
    cell_id, other = leave(layout, 0), leave(layout, 1)
    tracker = MLflowTracker(None, layout, "tiny")
    assert tracker.sync([other]) == {}
    commits, calls = [], []
    logged = MlflowClient.log_batch

    def counted(*given, **named):
        calls.append(given)
        return logged(*given, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    wrote = set()

    def written(connection, cursor, statement, *_):
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            wrote.add(id(connection))

    def committed(connection):
        if id(connection) in wrote:  # others only read
            commits.append(connection)
            wrote.discard(id(connection))

    listeners: dict[str, Callable[..., None]] = {"before_cursor_execute": written, "commit": committed}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        assert tracker.sync([cell_id]) == {}
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
    assert len(calls) == 1
    assert len(commits) == 5
    assert runs(layout)[cell_id][0].info.status == "FINISHED"


@pytest.mark.parametrize("call", ["create_run", "update_run", "log_batch"])
@pytest.mark.parametrize("before", [True, False])
def test_a_mirror_that_is_killed_anywhere_goes_on_and_doubles_nothing(layout, monkeypatch, call, before):
    class Killed(BaseException):
        pass

    cell_id = leave(layout, 0)
    whole = getattr(MlflowClient, call)

    def killed(self, *args, **kwargs):
        if kwargs.get("tags") and SUITE in kwargs["tags"] and CELL not in kwargs["tags"]:
            return whole(self, *args, **kwargs)  # the suite's own run
        if not before:
            whole(self, *args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, killed)
        with pytest.raises(Killed):
            MLflowTracker(None, layout, "tiny").sync([cell_id])
    assert MLflowTracker(None, layout, "tiny").sync([cell_id]) == {}
    [run] = runs(layout)[cell_id]
    client = MlflowClient(f"sqlite:///{layout.out / 'mlflow.db'}")
    assert [point.value for point in client.get_metric_history(run.info.run_id, "loss")] == [0.5, 0.25]
    assert run.data.tags[RECORD] == file_sha256(layout.record(cell_id))
    assert run.info.status == "FINISHED"


def test_a_run_that_a_lost_answer_made_twice_is_there_once(layout, monkeypatch):
    cell_id = leave(layout, 0)
    create = MlflowClient.create_run

    def twice(self, *args, **kwargs):
        if CELL in kwargs["tags"]:
            create(self, *args, **kwargs)
            time.sleep(1.1)  # as long as it takes to ask again
        return create(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_run", twice)
    tracker = MLflowTracker(None, layout, "tiny")
    assert tracker.sync([cell_id]) == {}
    assert len(runs(layout)[cell_id]) == 2
    tracker.close()
    [run] = runs(layout)[cell_id]
    assert RECORD in run.data.tags
