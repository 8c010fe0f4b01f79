"""What several declarations repeat, each as a literal of its own: the copies are the same but for what tells them
apart."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.api.source import Files, Source
from tests.unit.parts.datasets.field_tree import source_of

SHIPPED = Path(__file__).parents[4] / "suites"


def named(source: Source, *changes: tuple[str, str]) -> dict[str, Any]:
    """Layouts and numbers, without examples, with other names in the patterns."""
    text = repr([asdict(replace(layout, examples={})) for layout in source.layouts])
    for old, new in changes:
        text = text.replace(old, new)
    return {"layouts": text, "counts": source.counts, "tasks": source.tasks, "average": source.average}


@pytest.mark.parametrize(
    ("one", "other", "changes"),
    [
        ("rain100h", "rain100l", [("Rain100H", "Rain100L"), ("_Heavy", "_Light")]),
        ("realblur_j", "realblur_r", [("RealBlur-J", "RealBlur-R_BM3D"), ("RealBlur_J", "RealBlur_R")]),
        ("urban100", "urban100_gray", [("'gray': False", "'gray': True")]),
    ],
)
def test_twins_differ_in_names_alone(one: str, other: str, changes: list[tuple[str, str]]) -> None:
    assert named(source_of(one)) != named(source_of(other))
    assert named(source_of(one), *changes) == named(source_of(other))


def test_the_pictures_of_cbsd68_that_are_never_trained_on_are_the_same_67() -> None:
    def listed(files: Files) -> list[str]:
        return re.findall(r"(?<=[|:])\d{4,6}(?=[|)])", files.without)

    bsd400 = [layout.splits["train"] for layout in source_of("bsd400").layouts]
    names = listed(bsd400[0])
    assert len(set(names)) == len(names) == 67
    whole = [files for layout in source_of("dfwb").layouts for files in layout.splits.values() if listed(files)]
    assert whole
    assert all(listed(files) == names for files in (*bsd400, *whole))


def test_no_number_on_other_frames_is_compared_with_the_first_thirty() -> None:
    """Retinexformer scores all frames of SMID and SDSD; these sets test the first 30 of a folder, as SNR-Net does."""
    suite = YAML(typ="safe").load(SHIPPED / "published.yaml")
    first = {"smid", "sdsd_indoor", "sdsd_outdoor"}
    for name in first:
        splits = [layout.splits["test"] for layout in source_of(name).layouts]
        assert {files.frames for files in splits} == {30}
        assert any("Retinexformer scores all of them" in trap for trap in source_of(name).traps)
    compared = [
        number["test"]
        for block in suite["blocks"]
        for number in block.get("published", ())
        if block["backbone"]["name"] == "retinexformer"
    ]
    assert compared
    assert not first & {*compared}
