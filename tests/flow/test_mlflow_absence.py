"""What MLflow lacks is never read as "no result": moved folders, lost artifacts, deleted runs, another database."""

from __future__ import annotations

import http.server
import shutil
import threading

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from harness.core.errors import HarnessError
from harness.records.store import load
from harness.tracking.mlflow import CELL, EXPERIMENT, MLflowTracker
from harness.tracking.server import Server
from tests.flow.mlflow_folder import artifacts, client, execute, moved, runs, sync
from tests.unit.tracking.records import layout_in, leave, leave_suite


@pytest.fixture
def cells(layout):
    """Two finished cells, mirrored."""
    found = [leave(layout, 0), leave(layout, 1, psnr=28.125)]
    leave_suite(layout, "tiny", range(2))
    assert sync(layout, found) == {}
    return found


def fetched(layout, tmp_path):
    into = layout_in(tmp_path / "fetched")
    MLflowTracker.fetch(layout, ["tiny"], into)
    return into


def test_a_moved_folder_is_read_where_it_lies_and_names_its_place_after_a_sync(layout, cells, tmp_path):
    there = moved(layout, tmp_path / "elsewhere")
    into = fetched(there, tmp_path)
    assert [load(into, cell_id) for cell_id in cells] == [load(there, cell_id) for cell_id in cells]
    assert MLflowTracker(None, there, "tiny").behind(cells) == []
    assert sync(there, cells) == {}
    place = (there.out / "mlartifacts").as_uri()
    assert client(there).get_experiment_by_name(EXPERIMENT).artifact_location == place
    for cell_id, (run,) in runs(there).items():
        assert run.info.artifact_uri == f"{place}/{run.info.run_id}/artifacts"
        assert artifacts(there, cell_id).is_dir()
    assert client(there).list_artifacts(runs(there)[cells[0]][0].info.run_id)
    assert not layout.out.exists()


def test_a_copied_folder_writes_beside_itself(layout, cells, tmp_path):
    shutil.copytree(layout.out, tmp_path / "copy" / "out")
    copy = layout_in(tmp_path / "copy")
    before = (artifacts(layout, cells[0]) / "record.json").read_bytes()
    leave(copy, 0, psnr=12.0)
    assert sync(copy, cells) == {}
    assert (artifacts(copy, cells[0]) / "record.json").read_bytes() == copy.record(cells[0]).read_bytes() != before
    assert (artifacts(layout, cells[0]) / "record.json").read_bytes() == before


@pytest.mark.parametrize("name", ["record.json", "images.parquet"])
@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_lost_artifact_is_said_and_mirrored_again(layout, cells, tmp_path, name, damage):
    path = artifacts(layout, cells[0]) / name
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    run_id = runs(layout)[cells[0]][0].info.run_id
    with pytest.raises(HarnessError) as caught:
        fetched(layout, tmp_path)
    assert f"{name} of run {run_id} (cell {cells[0]}): " in str(caught.value)
    assert str(path.parent) in str(caught.value)
    assert "bench track sync" in caught.value.hint
    assert sync(layout, cells) == {}
    assert path.read_bytes() == (layout.cell(cells[0]) / name).read_bytes()
    assert load(fetched(layout, tmp_path), cells[0]) == load(layout, cells[0])


def test_the_whole_folder_of_artifacts_can_be_mirrored_again(layout, cells, tmp_path):
    shutil.rmtree(layout.out / "mlartifacts")
    with pytest.raises(HarnessError, match="MLflow does not have all of suite 'tiny', 3 missing"):
        fetched(layout, tmp_path)
    assert sync(layout, cells) == {}
    assert (artifacts(layout, cells[1]) / "samples" / "photos.png").read_bytes() == b"png"
    fetched(layout, tmp_path)


def test_deleted_runs_are_said_and_mirrored_again_under_the_parent_that_lives(layout, cells, tmp_path):
    for cell_id in ("", cells[0]):
        client(layout).delete_run(runs(layout)[cell_id][0].info.run_id)
    with pytest.raises(HarnessError, match=f"the run of cell {cells[0]}, which has a record here"):
        fetched(layout, tmp_path)
    assert sync(layout, cells) == {}
    found = runs(layout)
    parent = found[""][0].info.run_id
    assert {found[cell_id][0].data.tags["mlflow.parentRunId"] for cell_id in cells} == {parent}
    fetched(layout, tmp_path)


def test_a_deleted_experiment_is_said_and_restored(layout, cells, tmp_path):
    client(layout).delete_experiment(client(layout).get_experiment_by_name(EXPERIMENT).experiment_id)
    with pytest.raises(HarnessError, match="no runs of suite 'tiny': the experiment was deleted"):
        fetched(layout, tmp_path)
    assert sync(layout, cells) == {}
    fetched(layout, tmp_path)


def test_a_database_that_is_gone_or_another_one_is_filled_again(layout, cells, tmp_path, empty_database):
    (layout.out / "mlflow.db").unlink()
    with pytest.raises(HarnessError, match="nothing has been mirrored to MLflow yet: there is no database here"):
        fetched(layout, tmp_path)
    assert MLflowTracker(None, layout, "tiny").behind(cells) == cells
    other = moved(layout, tmp_path / "elsewhere")  # MLflow keeps its connection to the old file in this process
    shutil.copy(empty_database, other.out / "mlflow.db")
    with pytest.raises(HarnessError, match="no runs of suite 'tiny'"):
        fetched(other, tmp_path)
    assert sync(other, cells) == {}
    assert load(fetched(other, tmp_path), cells[0]) == load(other, cells[0])


def test_folders_that_share_a_database_leave_their_artifacts_beside_it(layout, tmp_path, monkeypatch, empty_database):
    shared = tmp_path / "shared" / "all.db"
    shared.parent.mkdir()
    shutil.copy(empty_database, shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}")
    other = layout_in(tmp_path / "other")
    for each, name in ((layout, "one"), (other, "two")):
        leave_suite(each, name, range(1))
        assert sync(each, [leave(each, 0)], name) == {}
    for run in MlflowClient(f"sqlite:///{shared}").search_runs(["1"]):
        assert run.info.artifact_uri == (shared.parent / "mlartifacts" / run.info.run_id / "artifacts").as_uri()
    assert not (layout.out / "mlartifacts").exists()
    assert len(list((shared.parent / "mlartifacts").iterdir())) == 4
    shutil.rmtree(layout.out)
    MLflowTracker.fetch(other, ["two"], layout_in(tmp_path / "fetched"))


def test_a_shared_database_of_an_earlier_release_stays_readable(layout, cells, tmp_path, monkeypatch):
    """Its artifacts lie in the folder whose run made the database."""
    (tmp_path / "db").mkdir()
    shutil.move(layout.out / "mlflow.db", tmp_path / "db" / "all.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'db' / 'all.db'}")
    assert load(fetched(layout, tmp_path), cells[0]) == load(layout, cells[0])
    leave(layout, 2)
    assert sync(layout, [*cells, leave(layout, 2)]) == {}
    assert len(list((tmp_path / "db" / "mlartifacts").iterdir())) == 1  # what is new
    MLflowTracker.fetch(layout, ["tiny"], layout_in(tmp_path / "again"))


def test_a_refused_cell_does_not_hold_up_the_others(layout, monkeypatch):
    cells = [leave(layout, seed) for seed in range(3)]
    mirror = Server.mirror

    def picky(self, cell_id, sha, record):
        if cell_id == cells[0]:
            raise MlflowException.invalid_parameter_value("Invalid value \"@\" for parameter 'name'")
        mirror(self, cell_id, sha, record)

    monkeypatch.setattr(Server, "mirror", picky)
    reasons = sync(layout, cells)
    assert list(reasons) == cells[:1]
    assert "MLflow refuses it: Invalid value \"@\" for parameter 'name'" in reasons[cells[0]]
    assert set(runs(layout)) == {"", *cells[1:]}


def test_a_server_that_answers_with_an_error_is_not_said_to_be_silent(layout, monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"not for you")

        do_GET = do_POST = answer

        def log_message(self, *arguments):
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        reasons = sync(layout, [leave(layout, 0)])
        server.shutdown()
    (reason,) = reasons.values()
    assert "does not answer" not in reason
    assert "not for you" in reason


def test_names_and_values_that_mlflow_refuses_are_mirrored(layout, tmp_path):
    cell_id = leave(layout, 0)
    record = load(layout, cell_id)
    odd = {f"plain@{n} %": "x" * 7000 for n in range(3)} | {"": "e", "..": "d", "ü" * 200: "l"}
    content = record.cell | {"task": record.cell["task"] | {"options": odd}}
    text = record.model_copy(
        update={
            "cell": content,
            "labels": record.labels | {"variant": "v" * 9000},
            "evaluations": tuple(each.model_copy(update={"dataset": "plain@50 %"}) for each in record.evaluations),
        }
    ).model_dump_json()
    layout.record(cell_id).write_text(text)
    assert sync(layout, [cell_id]) == {}
    (run,) = runs(layout)[cell_id]
    assert run.data.metrics["psnr.plain:40:50 :25:"] == 30.0
    assert run.data.params["task.options.plain:40:1 :25:"].startswith("xxx")
    assert run.data.params["task.options."] == "e"
    (cut,) = [key for key in run.data.tags if key.startswith("priorbench.name.")]
    assert run.data.tags[cut] == "task.options." + "ü" * 200
    assert load(_fetched_record(layout, tmp_path, cell_id), cell_id) == load(layout, cell_id)


def _fetched_record(layout, tmp_path, cell_id):
    into = layout_in(tmp_path / "fetched")
    MLflowTracker.fetch(layout, ["tiny"], into)
    return into


def test_a_folder_in_a_records_place_is_a_reason(layout):
    odd, fine = leave(layout, 0), leave(layout, 1)
    layout.record(odd).unlink()
    layout.record(odd).mkdir()
    assert list(sync(layout, [odd, fine])) == [odd]
    assert CELL in runs(layout)[fine][0].data.tags
    assert execute(layout, "SELECT count(*) FROM runs") == [(2,)]


def test_a_cell_that_another_suite_finished_is_mirrored_with_the_first_of_its_own(layout, tmp_path):
    cells = [leave(layout, 0), leave(layout, 1)]
    leave_suite(layout, "one", range(1))
    leave_suite(layout, "two", range(2))
    assert sync(layout, cells[:1], "one") == {}
    assert MLflowTracker(None, layout, "two").sync(cells[1:]) == {}  # as a run does, which did one cell
    into = layout_in(tmp_path / "fetched")
    MLflowTracker.fetch(layout, ["two"], into)
    assert [load(into, cell_id) for cell_id in cells] == [load(layout, cell_id) for cell_id in cells]
