"""The numbers of a table: means over images, then over seeds, and paired differences.

Sums are exactly rounded (math.fsum), so that no order of files, images or seeds shows in the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from harness.reports.query import Measured
from harness.results.schema import COLUMN
from harness.results.survey import Column

ROW = ("task", "task_digest", "backbone", "variant", "configuration")
"""What the cells of one row of a table share, all but the seed."""

RowKey = tuple[str, ...]
"""The values of ROW."""

_KEYS = ("cell", *COLUMN)


@dataclass(frozen=True)
class Spread:
    """A mean over `count` seeds and the sample standard deviation over them, None for a single seed."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class TableEntry:
    """One entry of a table: a row's score in a column."""

    score: Spread | None
    """None when no seed has a finite mean."""
    images: int
    """Images per seed; the fewest, should seeds differ."""
    infinite: int
    """Values that are infinite (PSNR of identical images), over all seeds. They are kept out of means."""
    delta: Spread | None
    """Difference to the base, paired on images and seeds; None for the base itself or without one."""
    seeds: int
    """Seeds on record."""
    wanted: int
    """Seeds that the suite asks for."""
    reason: str
    """Why seeds are missing; empty when none is."""


def spread(means: Sequence[float]) -> Spread | None:
    """Mean and sample standard deviation; None of nothing."""
    if not means:
        return None
    mean = math.fsum(means) / len(means)
    if len(means) == 1:
        return Spread(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in means) / (len(means) - 1)
    return Spread(mean, math.sqrt(variance), len(means))


def image_mean(values: Iterable[float]) -> float | None:
    """Mean of the finite values; None when there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None


def scores(images: pl.DataFrame) -> pl.DataFrame:
    """Per cell and column: how many images, how many of them infinite, and their `mean`, null when all are."""
    counts = {"images": pl.len(), "infinite": pl.col("value").is_infinite().sum()}
    return images.group_by(_KEYS).agg(pl.col("value"), **counts).with_columns(mean=_means()).drop("value")


def differences(images: pl.DataFrame) -> pl.DataFrame:
    """Per cell and column the `delta`: mean of value − base over the images that both have, both finite.

    Cells without a base, or without such an image, have no row.
    """
    finite = images.filter(pl.col("value").is_finite())
    bases = finite.select(*COLUMN, "image", base="cell", base_value="value")
    paired = finite.join(bases, on=["base", *COLUMN, "image"])
    values = paired.group_by(_KEYS).agg(value=pl.col("value") - pl.col("base_value"))
    return values.with_columns(delta=_means()).drop("value")


def _means() -> pl.Expr:
    """The exact mean of each list of values."""
    return pl.col("value").map_elements(image_mean, return_dtype=pl.Float64, skip_nulls=False)


def entries(found: Measured) -> Mapping[tuple[RowKey, Column], TableEntry]:
    """The entries by row and column, for every column that a cell of the row is asked for."""
    seeds = (
        found.coverage.drop("images")
        .join(found.cells.select("cell", *ROW), on="cell", how="left", maintain_order="left")
        .join(scores(found.images), on=_KEYS, how="left", maintain_order="left")
        .join(differences(found.images), on=_KEYS, how="left", maintain_order="left")
    )
    grouped = seeds.group_by(*ROW, *COLUMN, maintain_order=True).agg(
        means=pl.col("mean").drop_nulls(),
        deltas=pl.col("delta").drop_nulls(),
        images=pl.col("images").min(),
        infinite=pl.col("infinite").sum(),
        seeds=pl.col("images").count(),
        wanted=pl.len(),
        reasons=pl.col("reason").filter(pl.col("images").is_null()).drop_nulls().unique(maintain_order=True),
    )
    return {
        (tuple(row[name] for name in ROW), Column(*(row[name] for name in COLUMN))): TableEntry(
            score=spread(row["means"]),
            images=row["images"] or 0,
            infinite=row["infinite"],
            delta=spread(row["deltas"]),
            seeds=row["seeds"],
            wanted=row["wanted"],
            reason="; ".join(row["reasons"]),
        )
        for row in grouped.iter_rows(named=True)
    }
