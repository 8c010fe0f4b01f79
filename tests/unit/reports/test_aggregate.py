"""Means, spreads and paired differences, by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import polars as pl
import pytest

from harness.cells.cell import Cell
from harness.reports.aggregate import Spread, TableEntry, comparable, differences, entries, image_mean, spread
from harness.reports.query import Measured
from harness.reports.text import entry
from harness.results.columns import Column
from harness.results.schema import CELLS, COVERAGE, IMAGES, METRICS
from tests.unit.records.made import cell, refined

PSNR = Column("photos", "c", "", "rgb_uint8/v1", "d", "psnr")
INF = math.inf


@dataclass(frozen=True)
class Result:
    """A cell, its values by image (None: none are there), why they are missing, whether they are asked for."""

    content: Cell
    values: dict[str, float] | None = None
    reason: str | None = None
    wanted: bool = True


result = Result


def measured(cells: Sequence[Result], bases: Sequence[Result | None]) -> Measured:
    """The frames of one row of cells, each with its base, which has a row of its own."""
    pairs = [(each, "refined", base) for each, base in zip(cells, bases, strict=True)]
    pairs += [(base, "base", None) for base in bases if base is not None]
    known, asked, images = [], [], []
    for each, variant, base in pairs:
        names = {"cell": each.content.id, "backbone": "b", "variant": variant, "base": base and base.content.id}
        known.append(names | {"task": "t", "task_digest": "t", "configuration": variant})
        if each.wanted:
            asked.append({"cell": each.content.id, **PSNR._asdict(), "reason": each.reason})
            images += [{**names, **PSNR._asdict(), "image": k, "value": v} for k, v in (each.values or {}).items()]
    return Measured(
        pl.DataFrame(known, CELLS),
        pl.DataFrame(asked, COVERAGE),
        pl.DataFrame(images, IMAGES),
        pl.DataFrame(schema=METRICS),
    )


def summarise(cells: Sequence[Result], bases: Sequence[Result | None]) -> TableEntry | None:
    """The entry of a row of cells."""
    found = entries(measured(cells, bases))
    return found.get((("t", "t", "b", "refined", "refined"), PSNR))


def paired_difference(values: dict[str, float], base: dict[str, float]) -> float | None:
    found = measured([result(refined(), values)], [result(cell(), base)])
    return next(iter(differences(comparable(found))["delta"]), None)


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
    assert astuple(spread([1.0, 3.0])) == (2.0, pytest.approx(math.sqrt(2.0)), 2)
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
    summary = summarise(cells, bases)
    assert summary is not None
    # b is infinite in one cell, so that no mean has it: 20 and 28, against 19 and 25.
    assert astuple(summary.score) == (24.0, pytest.approx(math.sqrt(32.0)), 2)
    assert astuple(summary.delta) == (pytest.approx(2.0), pytest.approx(math.sqrt(2.0)), 2)
    assert (summary.images, summary.infinite, summary.left_out) == (2, 1, 1)
    assert (summary.seeds, summary.wanted, summary.reason) == (2, 2, "")


def test_the_spread_of_the_difference_is_its_own():
    """Seeds that move the base and the variant alike spread the scores, and not the difference."""
    cells = [result(refined(seed), {"a": 20.0 + 5 * seed + 0.1 * (seed == 2)}) for seed in range(3)]
    bases = [result(cell(seed), {"a": 19.0 + 5 * seed}) for seed in range(3)]
    summary = summarise(cells, bases)
    assert summary is not None
    assert summary.score.deviation == pytest.approx(5.05, abs=0.01)
    assert astuple(summary.delta) == (pytest.approx(1.0 + 0.1 / 3), pytest.approx(0.1 / math.sqrt(3)), 3)


def test_a_cell_that_is_infinite_everywhere_takes_no_image_from_the_others():
    cells = [result(refined(0), {"a": INF, "b": INF}), result(refined(1), {"a": 21.0, "b": 25.0})]
    bases = [result(cell(0), {"a": 20.0, "b": 30.0}), result(cell(1), {"a": 20.0, "b": 22.0})]
    summary = summarise(cells, bases)
    assert summary is not None
    assert (summary.score, summary.delta) == (Spread(23.0, None, 1), Spread(2.0, None, 1))
    assert (summary.images, summary.infinite, summary.left_out) == (2, 2, 0)
    assert (summary.seeds, summary.all_infinite) == (2, 1)
    assert entry(summary, 2) == "23.00 (+2.00, n = 1) [1 of 2 seeds all ∞]"


def test_images_that_are_left_out_are_those_of_the_seeds_that_have_a_mean():
    """Seed 0 is infinite everywhere, seed 1 at two images of five."""
    images = dict(zip("abcde", (20.0, INF, 22.0, INF, 27.0), strict=True))
    summary = summarise([result(refined(0), dict.fromkeys("abcde", INF)), result(refined(1), images)], [None, None])
    assert summary is not None
    assert (summary.score, summary.left_out, summary.all_infinite) == (Spread(23.0, None, 1), 2, 1)
    assert entry(summary, 2) == "23.00 [1 of 2 seeds all ∞, 2 of 5 images left out: ∞]"


def test_a_seed_without_a_common_finite_image_is_told():
    cells = [result(refined(0), {"a": INF, "b": 20.0}), result(refined(1), {"a": 21.0})]
    bases = [result(cell(0), {"a": 20.0, "b": INF}), result(cell(1), {"c": 20.0})]
    (summary,) = [found for (row, _), found in entries(measured(cells, bases)).items() if row[3] == "base"]
    assert entry(summary, 2) == "20.00 [1 of 2 seeds with every image left out: ∞]"
    alone = summarise(cells[:1], bases[:1])
    assert alone is not None
    assert (alone.score, alone.all_infinite, entry(alone, 2)) == (None, 0, "2 of 2 images left out: ∞")


def test_a_row_that_is_infinite_everywhere_says_so():
    summary = summarise([result(refined(seed), {"a": INF}) for seed in (0, 1)], [None, None])
    assert summary is not None
    assert (summary.score, entry(summary, 2)) == (None, "all ∞")


def test_missing_seeds_are_counted_and_explained():
    cells = [
        result(refined(0), {"a": 20.0}),
        result(refined(1), reason="failed before (nan): x"),
        result(refined(2), reason="failed before (nan): x"),
    ]
    bases = [result(cell(0), {"a": 19.0}), result(cell(1), {"a": 5.0}), None]
    summary = summarise(cells, bases)
    assert summary is not None
    assert (summary.seeds, summary.wanted, summary.reason) == (1, 3, "failed before (nan): x")
    assert summary.score == Spread(20.0, None, 1)
    assert summary.delta == Spread(1.0, None, 1)


def test_the_difference_leaves_out_seeds_without_a_base():
    cells = [result(refined(seed), {"a": 20.0 + seed}) for seed in (0, 1)]
    summary = summarise(cells, [None, result(cell(1), {"a": 20.0})])
    assert summary is not None
    assert summary.score is not None
    assert (summary.score.mean, summary.delta) == (20.5, Spread(1.0, None, 1))


def test_a_column_that_nobody_asked_for_has_no_entry():
    assert summarise([result(cell(), {"a": 1.0}, wanted=False)], [None]) is None
