"""Test sets under several conditions, as a blind denoiser has: columns of their own, in every form."""

from __future__ import annotations

import csv
import io
from typing import Any

import polars as pl
import pytest

from harness.api.reference import PartRef
from harness.api.sets import TestSet
from harness.cells.suite import ResolvedSuite
from harness.core.paths import Layout
from harness.records import store
from harness.reports.formats import comma_separated, markdown, table
from harness.reports.leaderboard import board_of
from harness.results.frames import Results
from tests.unit.records.made import cell, conditioned, finish, listed, photos, refined, suite, values

BLIND = PartRef(name="gaussian_denoise", options={"sigma": [0, 50]})
MEAN = "psnr@rgb_uint8/v1.mean"


def blind(seed: int = 0, **changes: Any) -> Any:
    return cell(seed, task=BLIND, **changes)


def held_out(content: Any) -> list[TestSet]:
    return [content.test_set(photos()), conditioned(content, sigma=15), conditioned(content, sigma=25.0)]


@pytest.fixture
def made(layout: Layout) -> ResolvedSuite:
    """A base and a refined cell with values of their own in each of three columns, over two images."""
    contents = [blind(), refined(task=BLIND)]
    for shift, content in zip((0.0, 0.5), contents, strict=True):
        plain, low, high = held_out(content)
        scores = [
            (plain, values([20.0, 22.0])),
            (low, values([34.0 + shift, 36.0])),
            (high, values([30.0, 31.0 + shift])),
        ]
        finish(layout, content, tests=scores)
    return suite(*(listed(each, tests=held_out(each)) for each in contents), metrics=["psnr"])


def lines(board: Any) -> dict[str, dict[str, str]]:
    return {row["variant"]: row for row in csv.DictReader(io.StringIO(comma_separated.write(board)))}


def test_every_condition_is_a_column_with_its_own_mean(layout: Layout, made: ResolvedSuite) -> None:
    found = lines(board_of([made], layout))
    means = {name: found["base"][f"{name}.{MEAN}"] for name in ("photos", "photos sigma=15", "photos sigma=25")}
    assert means == {"photos": "21.000000", "photos sigma=15": "35.000000", "photos sigma=25": "30.500000"}
    assert found["nss"][f"photos sigma=15.{MEAN}"] == "35.250000"


def test_differences_are_paired_within_a_condition(layout: Layout, made: ResolvedSuite) -> None:
    refined_row = lines(board_of([made], layout))["nss"]
    gains = [
        refined_row[f"{name}.psnr@rgb_uint8/v1.delta"] for name in ("photos", "photos sigma=15", "photos sigma=25")
    ]
    assert gains == ["0.000000", "0.250000", "0.250000"]


def test_headers_say_the_condition(layout: Layout, made: ResolvedSuite) -> None:
    board = board_of([made], layout)
    heads = [text.split("\n")[2 if form is markdown else 0] for form, text in ((markdown, markdown.write(board)),)]
    assert "| photos PSNR (dB) ↑ | photos sigma=15 PSNR (dB) ↑ | photos sigma=25 PSNR (dB) ↑ |" in heads[0]
    assert "photos sigma=15 PSNR (dB) ↑" in table.write(board, 200)


def test_frames_tell_conditions_apart(layout: Layout, made: ResolvedSuite) -> None:
    results = Results([made], layout)
    sums = results.images().group_by("condition").agg(pl.sum("value")).sort("condition")
    assert sums.rows() == [("", 84.0), ("sigma=15", 140.5), ("sigma=25", 122.5)]
    assert results.coverage()["condition"].to_list() == ["", "sigma=15", "sigma=25"] * 2
    assert results.coverage()["images"].to_list() == [2] * 6


def test_a_condition_that_is_not_on_record_is_a_gap_of_its_column(layout: Layout) -> None:
    content = blind()
    _, low, high = held_out(content)
    finish(layout, content, tests=[(low, values([34.0]))])
    results = Results([suite(listed(content, tests=[low, high]), metrics=["psnr"])], layout)
    assert results.coverage().select("condition", "images", "reason").rows() == [
        ("sigma=15", 1, None),
        ("sigma=25", 0, "not evaluated yet"),
    ]
    assert results.cells()["state"].to_list() == ["todo"]


def test_suites_that_ask_for_other_conditions_share_no_column(layout: Layout) -> None:
    """One trained cell, tested by one suite at 15 and by another at 25: a folder's table has both, a row."""
    content = blind()
    _, low, high = held_out(content)
    finish(layout, content, tests=[(low, values([34.0])), (high, values([30.0]))])
    one, other = (
        suite(listed(content, tests=[each]), metrics=["psnr"], name=name) for name, each in (("a", low), ("b", high))
    )
    (row,) = lines(board_of([one, other], layout)).values()
    assert (row[f"photos sigma=15.{MEAN}"], row[f"photos sigma=25.{MEAN}"]) == ("34.000000", "30.000000")


def test_conditions_of_the_same_inputs_have_a_column_each(layout: Layout) -> None:
    """The task's own noise, and the same noise named: one evaluation fills both columns, with values and without."""
    content = cell(task=PartRef(name="gaussian_denoise", options={"sigma": 25.0}))
    named = conditioned(content, sigma=25.0)
    plain = named.model_copy(update={"condition": {}})
    assert named.samples() == plain.samples()
    asked = suite(listed(content, tests=[named, plain]), metrics=["psnr"])
    before = Results([asked], layout).coverage()
    assert before.select("condition", "images", "reason").rows() == [
        ("sigma=25", 0, "not run yet"),
        ("", 0, "not run yet"),
    ]
    finish(layout, content, tests=[(plain, values([34.0, 36.0]))])
    results = Results([asked], layout)
    assert results.coverage().select("condition", "images").rows() == [("sigma=25", 2), ("", 2)]
    (row,) = lines(board_of([asked], layout)).values()
    assert (row[f"photos.{MEAN}"], row[f"photos sigma=25.{MEAN}"]) == ("35.000000", "35.000000")


def test_a_record_says_its_conditions_and_comes_back(layout: Layout, made: ResolvedSuite) -> None:
    record = store.load(layout, made.cells[0].cell.id)
    assert record is not None
    assert [each.condition for each in record.evaluations] == [{}, {"sigma": 15}, {"sigma": 25.0}]
