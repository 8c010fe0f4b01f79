"""The JSON Schema of records, made from the model. `results_schema/record.v1.json` is this, written down."""

from __future__ import annotations

import json
from typing import Any

from harness.records.model import SCHEMA_VERSION, RunRecord


def record_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `record.json`. Records are written out in full, so every field is required."""
    content = RunRecord.model_json_schema(mode="serialization")
    for model in (content, *content["$defs"].values()):
        model["required"] = list(model["properties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:priorbench:record:v{SCHEMA_VERSION}",
        **content,
    }


def record_schema_text() -> str:
    """The text of the committed schema file."""
    return json.dumps(record_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":  # python -m harness.records.schema > results_schema/record.v1.json
    print(record_schema_text(), end="")
