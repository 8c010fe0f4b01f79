"""Records on disk: whole, checked when read, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil

import pytest
from pyarrow import parquet

from harness.core.errors import DataError
from harness.core.identity import file_sha256, sealed
from harness.core.paths import Layout
from harness.records import store
from harness.records.migrate import NewerSchema, Untouchable
from harness.records.model import IMAGE_COLUMNS, Failure
from harness.records.store import ImageRow
from results_schema.loader import SchemaError
from tests.unit.records import made

ROWS = [
    ImageRow("0123456789ab", "photos", "b", "psnr", 21.5),
    ImageRow("0123456789ab", "photos", "a", "ssim", 0.75),
    ImageRow("0123456789ab", "photos", "a", "psnr", math.inf),
]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "data")


def edit(layout, cell_id, **changes):
    path = layout.record(cell_id)
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))


def test_a_record_comes_back_as_it_was(layout):
    content = made.refined(seed=3)
    record = made.finish(layout, content, made.values([20.0, 30.0]))
    assert store.load(layout, content.id) == record
    assert store.load(layout, "0" * 12) is None


def test_a_record_from_before_presets_is_read(layout):
    record = made.finish(layout, made.cell())
    training = record.training.model_dump(mode="json")
    del training["recipe"]
    edit(layout, record.cell_id, training=training)
    assert store.load(layout, record.cell_id) == record


def test_a_record_that_breaks_the_schema_is_not_written(layout):
    record = made.finish(layout, made.cell())
    before = layout.record(record.cell_id).read_bytes()
    with pytest.raises(SchemaError, match="3 is not of type"), pytest.warns(UserWarning, match="Expected `str`"):
        store.save(layout, record.model_copy(update={"labels": {"task": 3}}))
    with pytest.raises(ValueError, match="canonical JSON"):
        training = record.training.model_copy(update={"final_loss": math.nan})
        store.save(layout, record.model_copy(update={"training": training}))
    assert layout.record(record.cell_id).read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "empty", "list", "field", "version", "text"])
def test_a_damaged_record_says_which_cell_and_what_to_do(layout, damage):
    cell_id = made.finish(layout, made.cell()).cell_id
    path = layout.record(cell_id)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "list":
        path.write_text("[]")
    elif damage == "text":
        path.write_bytes(b"\xff\xfe\x00")
    elif damage == "field":
        edit(layout, cell_id, status="sure")
    else:
        edit(layout, cell_id, schema_version="one")
    with pytest.raises(DataError) as caught:
        store.load(layout, cell_id)
    assert str(path) in str(caught.value)
    if damage != "version":
        assert caught.value.hint == "bench run SUITE makes it anew"


def test_the_record_of_another_cell_is_refused(layout):
    one, other = made.finish(layout, made.cell(1)).cell_id, made.finish(layout, made.cell(2)).cell_id
    shutil.copy(layout.record(one), layout.record(other))
    with pytest.raises(DataError, match=f"is the record of cell {one}"):
        store.load(layout, other)


def test_a_record_of_a_newer_release_is_not_called_damaged(layout):
    cell_id = made.finish(layout, made.cell()).cell_id
    edit(layout, cell_id, schema_version=2)
    with pytest.raises(NewerSchema, match="has schema version 2; this release reads versions up to 1"):
        store.load(layout, cell_id)


def test_rows_in_any_order_give_the_same_bytes(layout):
    first = store.save_images(layout, "a" * 12, ROWS)
    content = layout.images("a" * 12).read_bytes()
    shuffled = ROWS[:]
    random.Random(1).shuffle(shuffled)
    assert store.save_images(layout, "a" * 12, iter(shuffled)) == first
    assert layout.images("a" * 12).read_bytes() == content


def test_images_come_back_sorted_with_their_types(layout):
    content = made.cell()
    record = made.finish(layout, content)
    sha256 = store.save_images(layout, content.id, ROWS)
    store.save(layout, record.model_copy(update={"images_sha256": sha256}))
    table = store.load_images(layout, content.id)
    assert tuple(table.column_names) == IMAGE_COLUMNS
    assert [str(field.type) for field in table.schema] == ["string"] * 4 + ["double", "string", "string"]
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert rows == [(*row[:5], None, "") for row in sorted(ROWS)]


def test_a_table_of_an_earlier_release_has_no_scenes(layout):
    content = made.cell()
    record = made.finish(layout, content, made.values([20.0, 30.0]), scenes={"a": "s", "b": "s"})
    table = store.load_images(layout, content.id)
    assert table["scene"].to_pylist() == ["s", "s"]
    path = layout.images(content.id)
    parquet.write_table(table.drop_columns(["scene", "group"]), path)
    store.save(layout, record.model_copy(update={"images_sha256": file_sha256(path)}))
    older = store.load_images(layout, content.id)
    assert older["scene"].to_pylist() == [None, None]
    assert older.drop_columns(["scene"]).equals(table.drop_columns(["scene"]))
    assert older.schema == table.schema


def test_a_table_of_an_earlier_release_has_no_groups(layout):
    content = made.cell()
    record = made.finish(layout, content)
    name = "0123456789ab"
    rows = [ImageRow(name, "dpdd", "a", "psnr", 20.0, "a", "indoor"), ImageRow(name, "dpdd", "b", "psnr", 30.0, "b")]
    store.save(layout, record.model_copy(update={"images_sha256": store.save_images(layout, content.id, rows)}))
    table = store.load_images(layout, content.id)
    assert table["group"].to_pylist() == ["indoor", ""]
    path = layout.images(content.id)
    parquet.write_table(table.drop_columns(["group"]), path)
    store.save(layout, record.model_copy(update={"images_sha256": file_sha256(path)}))
    older = store.load_images(layout, content.id)
    assert older["group"].to_pylist() == ["", ""]
    assert older.schema == table.schema


def test_a_record_of_an_earlier_release_averages_images(layout):
    content = made.cell()
    made.finish(layout, content, made.values([20.0]))
    value = json.loads(layout.record(content.id).read_text())
    del value["evaluations"][0]["mean"], value["sealed"]
    layout.record(content.id).write_text(json.dumps(value))
    assert store.load(layout, content.id).evaluations[0].mean == "image"


def test_no_rows_are_a_table_too(layout):
    record = made.finish(layout, made.cell())
    sha256 = store.save_images(layout, record.cell_id, [])
    store.save(layout, record.model_copy(update={"images_sha256": sha256}))
    assert store.load_images(layout, record.cell_id).num_rows == 0


@pytest.mark.parametrize("rows", [[ROWS[0]._replace(value=math.nan)], [ROWS[0], ROWS[0]._replace(value=3.0)]])
def test_nan_and_twins_are_refused_and_leave_no_file(layout, rows):
    with pytest.raises(ValueError, match=r"not a number|given twice"):
        store.save_images(layout, "a" * 12, rows)
    assert not layout.images("a" * 12).exists()


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_images_that_the_record_does_not_vouch_for_are_refused(layout, damage):
    content = made.cell()
    made.finish(layout, content, made.values([20.0, 30.0]))
    path = layout.images(content.id)
    good = path.read_bytes()
    if damage == "cut":
        path.write_bytes(good[:-10])
    elif damage == "flip":
        path.write_bytes(good[:40] + bytes([good[40] ^ 1]) + good[41:])
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"missing|damaged") as caught:
        store.load_images(layout, content.id)
    assert caught.value.hint == "bench run SUITE scores the cell again"


def test_the_earlier_table_is_read_until_the_record_names_the_new_one(layout):
    content = made.cell()
    record = made.finish(layout, content, made.values([20.0]))
    before = store.load_images(layout, content.id)
    store.save_images(layout, content.id, ROWS[:1])  # killed, and killed again
    sha256 = store.save_images(layout, content.id, ROWS)
    assert store.load_images(layout, content.id) == before
    store.save_at(layout.record(content.id), record.model_copy(update={"images_sha256": sha256}))  # killed here
    assert store.load_images(layout, content.id).num_rows == len(ROWS)
    assert hashlib.sha256(layout.images(content.id).read_bytes()).hexdigest() == sha256
    store.save(layout, record.model_copy(update={"images_sha256": sha256}))
    assert sorted(path.name for path in layout.cell(content.id).iterdir()) == [
        "checkpoint", "images.parquet", "record.json",
    ]  # fmt: skip


def test_a_version_that_a_flipped_bit_made_newer_is_damage(layout):
    cell_id = made.finish(layout, made.cell()).cell_id
    path = layout.record(cell_id)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(DataError, match="damaged: its content is not what was sealed") as caught:
        store.load(layout, cell_id)
    assert not isinstance(caught.value, Untouchable)


def note(layout, content, failure=None, outcome="done"):
    store.note_attempt(
        layout,
        cell_id=content.id,
        cell=content.model_dump(mode="json"),
        labels={"task": "t"},
        attempt=made.ATTEMPT.model_copy(update={"outcome": outcome}),
        failure=failure,
        provenance=made.PROVENANCE.model_copy(update={"processor": "another"}),
    )
    record = store.load(layout, content.id)
    assert record is not None
    return record


FAILURE = Failure(kind="memory", message="out of memory", log="l")


def test_a_first_failure_begins_a_record(layout):
    record = note(layout, made.cell(), FAILURE, "failed")
    assert (record.status, record.failure, record.training) == ("failed", FAILURE, None)
    assert len(note(layout, made.cell(), FAILURE, "failed").attempts) == 2


def test_a_failure_keeps_the_results_and_their_provenance(layout):
    content = made.cell()
    before = made.finish(layout, content, made.values([20.0]))
    record = note(layout, content, FAILURE, "failed")
    assert record.status == "failed"
    assert (record.training, record.evaluations) == (before.training, before.evaluations)
    assert record.provenance.processor == "CPU"


def test_a_success_clears_an_earlier_failure(layout):
    content = made.cell()
    made.finish(layout, content, made.values([20.0]))
    note(layout, content, FAILURE, "failed")
    record = note(layout, content)
    assert (record.status, record.failure) == ("done", None)


def test_a_success_without_evaluations_is_trained(layout):
    content = made.cell()
    made.finish(layout, content)
    assert note(layout, content).status == "trained"


def test_an_interrupted_first_attempt_is_on_record_as_interrupted(layout):
    record = note(layout, made.cell(), None, "interrupted")
    assert record.failure is not None
    assert record.failure.kind == "interrupted"


def test_a_damaged_record_makes_way_for_a_new_one_but_a_newer_releases_does_not(layout):
    content = made.cell()
    made.finish(layout, content)
    layout.record(content.id).write_text("{")
    assert note(layout, content, FAILURE, "failed").status == "failed"
    edit(layout, content.id, schema_version=2)
    with pytest.raises(NewerSchema):
        note(layout, content, FAILURE, "failed")


def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next(layout):
    for step in (1, 2):
        store.append_event(layout, "a" * 12, {"event": "step", "step": step})
    path = layout.events("a" * 12)
    path.write_bytes(path.read_bytes() + b'{"event": "step", "st')
    assert [event["step"] for event in store.read_events(layout, "a" * 12)] == [1, 2]
    store.append_event(layout, "a" * 12, {"event": "step", "step": 3})
    assert [event["step"] for event in store.read_events(layout, "a" * 12)] == [1, 2, 3]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_lone_torn_line_leaves_an_empty_file(layout):
    path = layout.events("a" * 12)
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"st')
    store.append_event(layout, "a" * 12, {"step": 1})
    assert path.read_text() == '{"step": 1}\n'


def test_events_are_rewritten_whole(layout):
    store.append_event(layout, "a" * 12, {"step": 1})
    store.rewrite_events(layout, "a" * 12, [{"step": 5}, {"step": 6}])
    assert store.read_events(layout, "a" * 12) == [{"step": 5}, {"step": 6}]
    assert store.read_events(layout, "b" * 12) == []
