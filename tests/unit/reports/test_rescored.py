"""Published numbers beside measured ones: what is compared, by which rule, and how every format says it."""

from __future__ import annotations

import csv
import io

import polars as pl
import pytest

from harness.api.reference import EXAMPLE_MARK
from harness.cells.published import PublishedNumber
from harness.reports.aggregate import ROW, Spread, TableEntry
from harness.reports.formats import comma_separated, markdown, table
from harness.reports.leaderboard import Leaderboard, board_of
from harness.reports.rescored import TITLES, rescored
from harness.results.columns import Column
from tests.unit.records.made import cell, conditioned, finish, listed, suite, values


def number(value: float, **changes: object) -> PublishedNumber:
    fields = {"test": "photos", "metric": "psnr", "protocol": "rgb_uint8", "source": "page 7"} | changes
    return PublishedNumber.model_validate({"cell": cell().id, "value": value, **fields})


def board(layout, *numbers: PublishedNumber, tests=None, done: bool = True, metrics=("psnr", "ssim")) -> Leaderboard:
    if done:
        finish(layout, cell(), values([20.0, 22.0], [0.5, 0.6]))
    made = suite(listed(cell(), tests=tests), metrics=metrics).model_copy(update={"published": numbers})
    return board_of([made], layout)


@pytest.mark.parametrize(
    ("metric", "published", "verdict"),
    [
        ("psnr", 21.02, "reproduced"),
        ("psnr", 20.98, "reproduced"),
        ("psnr", 21.03, "differs"),
        ("psnr", 20.97, "differs"),
        ("ssim", 0.5505, "reproduced"),
        ("ssim", 0.5495, "reproduced"),
        ("ssim", 0.551, "differs"),
    ],
)
def test_the_rule(layout, metric, published, verdict) -> None:
    """The means are 21 dB and 0.55."""
    (found,) = board(layout, number(published, metric=metric)).published
    assert found.verdict == verdict
    assert found.measured == pytest.approx(21.0 if metric == "psnr" else 0.55)
    assert found.difference == pytest.approx(found.measured - published)


def test_published_numbers_stand_in_no_row(layout) -> None:
    with_it, without = board(layout, number(30.0)), board(layout, done=False)
    assert with_it.sections == without.sections


def test_why_there_is_no_verdict(layout) -> None:
    found = board(layout, number(21.0), number(21.0, protocol="y_matlab"), done=False).published
    assert [each.verdict for each in found] == [
        "not measured: not run yet",
        "not measured: the suite does not score it under y_matlab · try: --set 'protocols=[y_matlab]'",
    ]
    assert [each.difference for each in found] == [None, None]


def test_examples_have_no_verdict(layout) -> None:
    """Values of examples are shown, and never said to reproduce anything."""
    row = ("low_light", "aa", "NAFNet", "base", "bb")
    cells = pl.DataFrame([{"cell": cell().id} | dict(zip(ROW, row, strict=True))])
    column = Column(f"photos{EXAMPLE_MARK}", "cc", "", "rgb_uint8/v1", "dd", "psnr")
    entry = TableEntry(Spread(21.0, None, 1), 2, 0, 0, None, 1, 0, 1, "")
    (found,) = rescored([number(21.0)], cells, {(row, column): entry}, {"psnr": "dB"})
    assert (found.test, found.verdict, found.difference) == ("photos (example)", "example", None)
    assert found.measured == 21.0
    (real,) = rescored([number(21.0)], cells, {(row, column._replace(dataset="photos")): entry}, {"psnr": "dB"})
    assert real.verdict == "reproduced"


@pytest.mark.parametrize("task", ["low_light (example)", "low_light (synthetic, example)"])
def test_a_network_that_learned_from_examples_has_no_verdict_either(task: str) -> None:
    """On a test set that is none: its row's section says so, which this table does not have."""
    row = (task, "aa", "NAFNet", "base", "bb")
    cells = pl.DataFrame([{"cell": cell().id} | dict(zip(ROW, row, strict=True))])
    column = Column("photos", "cc", "", "rgb_uint8/v1", "dd", "psnr")
    entry = TableEntry(Spread(21.0, None, 1), 2, 0, 0, None, 1, 0, 1, "")
    (found,) = rescored([number(21.0)], cells, {(row, column): entry}, {"psnr": "dB"})
    assert (found.network, found.test, found.verdict) == ("NAFNet (example)", "photos", "example")


def test_a_mean_over_a_part_of_the_seeds_reproduces_nothing() -> None:
    row = ("low_light", "aa", "NAFNet", "base", "bb")
    cells = pl.DataFrame([{"cell": cell().id} | dict(zip(ROW, row, strict=True))])
    column = Column("photos", "cc", "", "rgb_uint8/v1", "dd", "psnr")
    entry = TableEntry(Spread(21.0, None, 1), 2, 0, 0, None, 1, 0, 3, "not run yet")
    (found,) = rescored([number(21.0)], cells, {(row, column): entry}, {"psnr": "dB"})
    assert found.verdict == "not comparable: 2 of 3 seeds missing"


def test_a_mean_over_a_part_of_the_images_is_not_compared(layout) -> None:
    """One image is restored without any error, and is left out of the mean."""
    finish(layout, cell(), values([20.0, 22.0, float("inf")]))
    (found,) = board(layout, number(21.0), done=False, metrics=["psnr"]).published
    assert found.verdict == "not comparable: 1 of 3 images left out"


def test_conditions_and_groups_are_told_apart(layout) -> None:
    tests = [conditioned(cell(), sigma=15.0), conditioned(cell(), sigma=25.0)]
    found = board(layout, number(1.0, condition={"sigma": 25.0}), number(1.0), tests=tests, done=False).published
    assert [each.column.condition if each.column else None for each in found] == ["sigma=25", None]
    assert [each.test for each in found] == ["photos sigma=25", "photos"]


def test_every_format_shows_them(layout) -> None:
    shown = board(layout, number(21.01), number(0.6, metric="ssim"))
    text = table.write(shown)
    assert "published numbers re-scored" in text
    assert "reproduced: within 0.02 dB" in text
    lines = markdown.write(shown).splitlines()
    head = lines.index(f"| {' | '.join(TITLES)} |")
    assert (
        lines[head + 2]
        == "| NAFNet | photos | PSNR (dB) ↑ | rgb_uint8 | 21.01 | 21.00 | -0.010 | reproduced | page 7 |"
    )
    (row,) = csv.DictReader(io.StringIO(comma_separated.write(shown)))
    assert row["photos.psnr@rgb_uint8/v1.published"] == "21.010000"
    assert row["photos.ssim@rgb_uint8/v1.verdict"] == "differs"
    assert row["photos.psnr@rgb_uint8/v1.mean"] == "21.000000"


def test_without_any_nothing_is_added(layout) -> None:
    shown = board(layout)
    for write in (table.write, markdown.write, comma_separated.write):
        assert "published" not in write(shown)
