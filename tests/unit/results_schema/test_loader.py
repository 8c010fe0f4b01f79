"""The committed schemas are those of the models, and refuse what is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import results_schema
from harness.core.paths import Layout
from harness.records.model import IMAGE_COLUMNS
from harness.records.schema import record_schema_text
from results_schema.loader import SchemaError, schema, validate
from tests.unit.records import made

FOLDER = Path(results_schema.__file__).parent


@pytest.fixture
def record(tmp_path):
    layout = Layout(tmp_path, tmp_path / "data")
    content = made.refined()
    made.finish(layout, content, made.values([20.0], [0.5]))
    return json.loads(layout.record(content.id).read_text())


def test_the_committed_record_schema_is_generated_from_the_model():
    committed = (FOLDER / "record.v1.json").read_text(encoding="utf-8")
    assert committed == record_schema_text(), "python -m harness.records.schema > results_schema/record.v1.json"


def test_every_schema_is_a_valid_schema_with_an_address_of_its_own():
    paths = sorted(FOLDER.glob("*.json"))
    assert {"images.v1.json", "record.v1.json"} <= {path.name for path in paths}
    ids = [json.loads(path.read_text())["$id"] for path in paths]
    assert len(set(ids)) == len(ids)
    for path in paths:
        Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_the_image_schema_names_the_columns_in_order():
    properties = schema("images")["properties"]
    assert tuple(properties) == IMAGE_COLUMNS
    assert [properties[name]["type"] for name in IMAGE_COLUMNS] == ["string"] * 4 + [
        "number",
        ["string", "null"],
        "string",
    ]


def test_real_records_and_rows_pass(record):
    validate("record", record)
    row = dict(zip(IMAGE_COLUMNS, ("0123456789ab", "photos", "a", "psnr", float("inf"), "s", "indoor"), strict=True))
    validate("images", row)
    for later in ("group", "scene"):  # as earlier releases wrote it
        del row[later]
        validate("images", row)


def test_all_mistakes_are_reported_together(record):
    broken = copy.deepcopy(record)
    broken["status"] = "finished"
    del broken["provenance"]["code"]
    broken["evaluations"][0]["images"] = "three"
    with pytest.raises(SchemaError) as caught:
        validate("record", broken)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert [line.split(": ")[1] for line in lines] == ["evaluations.0.images", "provenance", "status"]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("record", {"schema_version": 9}, "no schema 'record' of version 9"),
        ("record", {"schema_version": "1"}, "not an integer"),
        ("record", [], "not of type 'object'"),
        ("nonsense", {}, "no schema 'nonsense' of version 1"),
        ("images", {"evaluation": "x"}, "does not match"),
    ],
)
def test_unknown_schemas_and_wrong_values_are_refused(name, value, what):
    with pytest.raises(SchemaError, match=what):
        validate(name, value)


def test_every_field_of_a_record_is_required(record):
    for field in record:
        with pytest.raises(SchemaError):
            validate("record", {name: value for name, value in record.items() if name != field} | {"x": 1})
        without = {name: value for name, value in record.items() if name != field}
        with pytest.raises(SchemaError, match=f"'{field}' is a required property"):
            validate("record", without)
