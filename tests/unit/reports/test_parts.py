"""Columns of groups, means over several sets, and overlaps: every number by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from harness.reports.formats import comma_separated, markdown, table
from harness.reports.leaderboard import Leaderboard, build
from harness.reports.query import Measured
from harness.results.schema import CELLS, COVERAGE, IMAGES, METRICS

FIVE = ("rain100h", "rain100l", "test100", "test1200", "test2800")
METRIC = {"metric": "psnr", "part": "psnr", "label": "psnr", "unit": "dB", "higher_is_better": True, "decimals": 2}

Value = tuple[str, float] | tuple[str, float, str] | tuple[str, float, str, str]
"""An image and its value, then its group, then its scene."""


class World:
    """Cells of one task, each with values by data set."""

    def __init__(self, mean: str = "image") -> None:
        self.cells: list[dict[str, Any]] = []
        self.coverage: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.mean = mean

    def add(
        self,
        cell: str,
        sets: dict[str, Sequence[Value] | None],
        base: str | None = None,
        protocol: str = "y_matlab/v1",
        overlap: dict[str, str] | None = None,
    ) -> None:
        variant = cell.partition(" ")[0]
        names = {"cell": cell, "task": "t", "backbone": "b", "variant": variant, "base": base}
        shared = {"network": "n", "task_digest": "t", "configuration": variant, "threads": 1, "earlier": False}
        self.cells.append({**names, **shared, "listed": True})
        for name, values in sets.items():
            column = {"dataset": name, "dataset_digest": name, "condition": "", "protocol": protocol}
            column |= {"protocol_digest": protocol, "metric": "psnr", "dataset_label": name}
            reason = None if values else "not run yet"
            count = len(values or ())
            told = {"images": count, "reason": reason, "overlap": (overlap or {}).get(name)}
            self.coverage.append({"cell": cell, **column, **told})
            for key, value, *more in values or ():
                group, scene = (*more, "", "")[:2]
                row = {"image": key, "scene": scene or key, "group": group, "mean": self.mean, "value": value}
                self.images.append({**names, **column, **row})

    def board(self) -> Leaderboard:
        return build(
            Measured(
                pl.DataFrame(self.cells, CELLS),
                pl.DataFrame(self.coverage, COVERAGE),
                pl.DataFrame(self.images, IMAGES),
                pl.DataFrame([METRIC], METRICS),
            )
        )


def entries(board: Leaderboard, variant: str) -> dict[str, Any]:
    """The entries of a row by what its columns are called."""
    (row,) = (row for section in board.sections for row in section.rows if row.variant == variant)
    return {board.dataset(column): found for column, found in row.entries.items()}


def sets(*means: float) -> dict[str, Sequence[Value]]:
    """The five sets with these means: the first has one image, the second two, …, so that none but the unweighted mean
    gives the right number."""
    return {
        name: [(f"{number}", mean + number - place / 2) for number in range(place + 1)]
        for place, (name, mean) in enumerate(zip(FIVE, means, strict=True))
    }


def test_groups_stand_beside_the_whole_set() -> None:
    world = World()
    rooms = {"a": "indoor", "b": "indoor", "c": "outdoor", "d": ""}
    levels = {"a": 20.0, "b": 22.0, "c": 27.0, "d": 30.0}
    base_values = [(key, level, rooms[key]) for key, level in levels.items()]
    world.add("base", {"dpdd": base_values, "photos": [("a", 11.0)]})
    world.add("refined", {"dpdd": [(key, level + 2, rooms[key]) for key, level in levels.items()]}, base="base")
    board = world.board()
    assert [board.dataset(column) for column in board.sections[0].columns] == [
        "dpdd", "dpdd indoor", "dpdd outdoor", "photos"
    ]  # fmt: skip
    base, refined = entries(board, "base"), entries(board, "refined")
    assert {name: (each.score.mean, each.images) for name, each in base.items()} == {
        "dpdd": (24.75, 4), "dpdd indoor": (21.0, 2), "dpdd outdoor": (27.0, 1), "photos": (11.0, 1)
    }  # fmt: skip
    assert {name: each.delta.mean for name, each in refined.items()} == {
        "dpdd": 2.0, "dpdd indoor": 2.0, "dpdd outdoor": 2.0
    }  # fmt: skip
    assert "dpdd indoor.psnr@y_matlab/v1.mean" in comma_separated.write(board).splitlines()[0]
    assert "dpdd outdoor PSNR" in markdown.write(board)


def test_a_group_whose_row_has_no_values_has_the_reason_of_its_set() -> None:
    world = World()
    world.add("base", {"dpdd": [("a", 20.0, "indoor")]})
    world.add("other", {"dpdd": None})
    assert entries(world.board(), "other")["dpdd indoor"].reason == "not run yet"


def test_a_group_averages_scenes_where_its_protocol_does() -> None:
    world = World(mean="scene")
    values = [("a", 10.0, "indoor", "s"), ("b", 20.0, "indoor", "s"), ("c", 45.0, "indoor", "t"), ("d", 1.0, "", "u")]
    world.add("base", {"sid": values})
    found = entries(world.board(), "base")
    assert found["sid indoor"].score.mean == (15 + 45) / 2
    assert found["sid"].score.mean == pytest.approx((15 + 45 + 1) / 3)


def test_the_mean_over_sets_counts_every_set_once_and_seeds_as_they_are() -> None:
    world = World()
    world.add("base 0", sets(31.0, 39.0, 32.0, 33.0, 34.0))
    world.add("base 1", sets(32.0, 38.0, 33.0, 33.0, 35.0))
    world.add("refined 0", sets(32.0, 39.0, 32.5, 33.0, 34.5), base="base 0")
    world.add("refined 1", sets(32.0, 39.0, 33.0, 33.5, 36.5), base="base 1")
    board = world.board()
    base, refined = entries(board, "base")["derain5"], entries(board, "refined")["derain5"]
    seeds = [(31 + 39 + 32 + 33 + 34) / 5, (32 + 38 + 33 + 33 + 35) / 5]  # 33.8, 34.2
    assert base.score.mean == pytest.approx(34.0)
    assert base.score.deviation == pytest.approx(math.sqrt(sum((seed - 34.0) ** 2 for seed in seeds)))
    assert (base.score.count, base.images, base.delta) == (2, 1 + 2 + 3 + 4 + 5, None)
    gains = [(1 + 0 + 0.5 + 0 + 0.5) / 5, (0 + 1 + 0 + 0.5 + 1.5) / 5]  # 0.4, 0.6
    assert refined.delta.mean == pytest.approx(0.5)
    assert refined.delta.deviation == pytest.approx(math.sqrt(sum((gain - 0.5) ** 2 for gain in gains)))
    assert refined.delta.count == 2
    assert [board.dataset(column) for column in board.sections[0].columns] == [*FIVE, "derain5"]
    assert "derain5: the mean of the means over rain100h, rain100l, test100, test1200, test2800, each set once." in (
        board.warnings
    )


def test_the_mean_is_in_every_format() -> None:
    world = World()
    world.add("base", sets(31.0, 39.0, 32.0, 33.0, 34.0))
    board = world.board()
    head, line = comma_separated.write(board).splitlines()[:2]
    numbers = dict(zip(head.split(","), line.split(","), strict=True))
    assert numbers["derain5.psnr@y_matlab/v1.mean"] == "33.800000"
    assert numbers["derain5.psnr@y_matlab/v1.images"] == "15"
    assert "| derain5 PSNR (dB) ↑ |" in markdown.write(board)
    assert "33.80" in markdown.write(board)
    assert "derain5 PSNR (dB) ↑" in table.write(board)


@pytest.mark.parametrize("without", FIVE)
def test_there_is_no_column_of_a_mean_without_all_of_its_sets(without: str) -> None:
    world = World()
    world.add("base", {name: found for name, found in sets(1.0, 2.0, 3.0, 4.0, 5.0).items() if name != without})
    assert "derain5" not in entries(world.board(), "base")


def test_sets_under_different_protocols_have_no_mean() -> None:
    world = World()
    own = sets(1.0, 2.0, 3.0, 4.0, 5.0)
    world.add("base", {name: own[name] for name in FIVE[:3]})
    world.coverage[0]["protocol"] = world.coverage[0]["protocol_digest"] = "rgb_uint8/v1"
    world.add("other", own)
    board = world.board()
    assert "derain5" not in entries(board, "base")
    assert "derain5" in entries(board, "other")


def test_a_seed_that_lacks_a_set_has_no_part_in_the_mean() -> None:
    world = World()
    world.add("base 0", sets(31.0, 39.0, 32.0, 33.0, 34.0))
    world.add("base 1", sets(90.0, 90.0, 90.0, 90.0, 90.0) | {"test100": None})
    found = entries(world.board(), "base")["derain5"]
    assert (found.score.mean, found.score.count, found.seeds, found.wanted) == (pytest.approx(33.8), 1, 1, 2)
    assert found.reason == "not run yet"
    assert "[1 of 2 seeds]" in markdown.write(world.board()).replace("\\", "")


def test_the_difference_of_a_mean_is_paired_within_each_set() -> None:
    """An image that the base lacks has no part in its set's difference, as in the column of the set."""
    world = World()
    world.add("base", sets(31.0, 39.0, 32.0, 33.0, 34.0))
    better: dict[str, Sequence[Value] | None] = {
        name: [(key, value + 1.0) for key, value in values] for name, values in world_values(world).items()
    }
    better["test2800"] = [*better["test2800"], ("new", 1000.0)]
    world.add("refined", better, base="base")
    found = entries(world.board(), "refined")
    assert found["test2800"].delta.mean == pytest.approx(1.0)
    assert found["derain5"].delta.mean == pytest.approx(1.0)


def world_values(world: World) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for row in world.images:
        found.setdefault(row["dataset"], []).append((row["image"], row["value"]))
    return found


def test_an_overlap_is_told_in_every_format_and_for_the_mean_that_has_it() -> None:
    why = "lol_v1 is trained on, and shares pictures with the test set rain100l: the same street"
    world = World()
    world.add("base", sets(31.0, 39.0, 32.0, 33.0, 34.0), overlap={"rain100l": why})
    world.add("clean", sets(31.0, 39.0, 32.0, 33.0, 34.0))
    board = world.board()
    marked = {name for name, found in entries(board, "base").items() if found.overlap == why}
    assert marked == {"rain100l", "derain5"}
    assert not any(found.overlap for found in entries(board, "clean").values())
    assert "39.00 [overlap]" in table.write(board)
    for form in (table, markdown):
        lines = [line for line in form.write(board).replace("\\", "").splitlines() if "the same street" in line]
        assert [line.strip(" -") for line in lines] == [f"t b base: {why}"]
    notes = {line.split(",")[2]: line for line in comma_separated.write(board).splitlines()}
    assert "the same street" in notes["base"]
    assert "the same street" not in notes["clean"]
