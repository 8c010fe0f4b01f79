"""The version gate of records."""

from __future__ import annotations

import pytest

from harness.core.errors import DataError
from harness.records.migrate import NewerSchema, upgrade

STEPS = {
    1: lambda value: value | {"schema_version": 2, "notes": []},
    2: lambda value: {"schema_version": 3, **{k: v for k, v in value.items() if k not in ("schema_version", "old")}},
}


def test_a_present_record_is_itself():
    value = {"schema_version": 1, "x": 2}
    assert upgrade(value, where="f") is value


def test_old_records_go_through_every_step():
    assert upgrade({"schema_version": 1, "old": 1}, where="f", steps=STEPS, newest=3) == {
        "schema_version": 3,
        "notes": [],
    }
    assert upgrade({"schema_version": 2, "old": 1}, where="f", steps=STEPS, newest=3) == {"schema_version": 3}


def test_a_newer_record_is_refused_with_what_to_do():
    with pytest.raises(NewerSchema) as caught:
        upgrade({"schema_version": 4}, where="cells/x/record.json", steps=STEPS, newest=3)
    assert "version 4" in str(caught.value)
    assert "upgrade priorbench" in caught.value.hint
    assert caught.value.where == "cells/x/record.json"


@pytest.mark.parametrize("version", [None, "1", True, 0, -1, 1.0])
def test_a_record_must_name_its_version(version):
    with pytest.raises(DataError, match="names no schema version"):
        upgrade({"schema_version": version}, where="f")
