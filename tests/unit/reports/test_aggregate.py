"""Means, spreads and paired differences, by hand."""

from __future__ import annotations

import math
import random

import pytest

from harness.reports.aggregate import Spread, image_mean, paired_difference, spread, summarise
from harness.reports.query import CellResult, Column
from tests.unit.records.made import cell, refined

PSNR = Column("photos", "c", "rgb_uint8/v1", "psnr")
INF = math.inf


def result(content, values=None, reason="", wanted=(PSNR,)):
    scores = {} if values is None else {PSNR: values}
    labels = None
    return CellResult(content.id, content, labels, wanted, scores, reason=reason)  # type: ignore[arg-type]


def test_a_mean_leaves_infinities_out():
    assert image_mean([20.0, INF, 22.0]) == 21.0
    assert image_mean([INF, INF]) is None
    assert image_mean([]) is None


def test_sums_do_not_depend_on_the_order():
    values = [1e16, 1.0, -1e16, 3.0, 1e-9] * 50
    shuffled = values[:]
    random.Random(0).shuffle(shuffled)
    assert image_mean(values) == image_mean(shuffled) == pytest.approx(0.8, abs=1e-8)


def test_spread_is_the_sample_standard_deviation():
    assert spread([]) is None
    assert spread([3.0]) == Spread(3.0, None, 1)
    assert spread([1.0, 3.0]) == Spread(2.0, pytest.approx(math.sqrt(2.0)), 2)
    assert spread([2.0, 2.0, 2.0]) == Spread(2.0, 0.0, 3)


def test_differences_are_paired_on_common_finite_images():
    assert paired_difference({"a": 21.0, "b": 25.0}, {"a": 20.0, "b": 22.0}) == 2.0
    assert paired_difference({"a": 21.0, "x": 99.0}, {"a": 20.0, "b": 0.0}) == 1.0
    assert paired_difference({"a": INF, "b": 25.0}, {"a": 20.0, "b": 22.0}) == 3.0
    assert paired_difference({"a": 21.0}, {"a": INF}) is None
    assert paired_difference({"a": 21.0}, {"b": 20.0}) is None


def test_images_first_then_seeds():
    cells = [result(refined(0), {"a": 20.0, "b": 30.0}), result(refined(1), {"a": 28.0, "b": INF})]
    bases = [result(cell(0), {"a": 19.0, "b": 30.0}), result(cell(1), {"a": 25.0, "b": 10.0})]
    summary = summarise(PSNR, cells, bases)
    assert summary is not None
    assert summary.score == Spread(26.5, pytest.approx(math.sqrt(4.5)), 2)
    assert summary.delta == Spread(pytest.approx(1.75), pytest.approx(math.sqrt(3.125)), 2)
    assert (summary.images, summary.infinite, summary.seeds, summary.wanted) == (2, 1, 2, 2)
    assert summary.reason == ""


def test_missing_seeds_are_counted_and_explained():
    cells = [
        result(refined(0), {"a": 20.0}),
        result(refined(1), reason="failed before (nan): x"),
        result(refined(2), reason="failed before (nan): x"),
    ]
    bases = [result(cell(0), {"a": 19.0}), result(cell(1), {"a": 5.0}), None]
    summary = summarise(PSNR, cells, bases)
    assert summary is not None
    assert (summary.seeds, summary.wanted, summary.reason) == (1, 3, "failed before (nan): x")
    assert summary.score == Spread(20.0, None, 1)
    assert summary.delta == Spread(1.0, None, 1)


def test_the_difference_leaves_out_seeds_without_a_base():
    cells = [result(refined(seed), {"a": 20.0 + seed}) for seed in (0, 1)]
    summary = summarise(PSNR, cells, [None, result(cell(1), {"a": 20.0})])
    assert summary is not None
    assert summary.score is not None
    assert (summary.score.mean, summary.delta) == (20.5, Spread(1.0, None, 1))


def test_a_column_that_nobody_asked_for_has_no_entry():
    assert summarise(PSNR, [result(cell(), {"a": 1.0}, wanted=())], [None]) is None
