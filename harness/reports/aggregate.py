"""The numbers of a table: means over images (or scenes, as the protocol says), then seeds, and paired differences.

Sums are exactly rounded (math.fsum), so that no order of files, images or seeds shows in the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from harness.reports.parts import with_averages
from harness.reports.query import Measured
from harness.results.columns import Column
from harness.results.schema import COLUMN

ROW = ("task", "task_digest", "backbone", "variant", "configuration")
"""What the cells of one row of a table share, all but the seed."""

RowKey = tuple[str, ...]
"""The values of ROW."""

_KEYS = ("cell", *COLUMN)

_ALL_INFINITE = pl.col("infinite") == pl.col("images")

_COMPARED = ("task_digest", "backbone", *COLUMN)
"""What cells share that a reader compares: a base and its variants in one column."""


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
    left_out: int
    """Images that the mean leaves out, as some cell of the same backbone is infinite there; the most of any seed that
    has a mean (without a mean: of any seed that has a finite value)."""
    delta: Spread | None
    """Difference to the base, paired on images and seeds: its mean, and its own deviation over the seeds that both
    have. None for the base itself or without one."""
    seeds: int
    """Seeds on record."""
    all_infinite: int
    """Seeds on record that are infinite at every image, and so have no part in the mean."""
    wanted: int
    """Seeds that the suite asks for."""
    reason: str
    """Why seeds are missing; empty when none is."""
    overlap: str = ""
    """Which pictures of the test set the row was trained on; empty where none are known."""


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


def comparable(found: Measured) -> pl.DataFrame:
    """The images whose values are finite in a base and in all its variants, over all seeds: every mean is over these.

    A cell that is infinite everywhere has no mean, and leaves nothing out of the others'.
    """
    images = found.images.join(found.cells.select("cell", "task_digest"), on="cell")
    some = pl.col("value").is_finite().any().over(*_KEYS)
    infinite = images.filter(pl.col("value").is_infinite() & some).select(*_COMPARED, "image").unique()
    common = images.join(infinite, on=[*_COMPARED, "image"], how="anti", maintain_order="left")
    return common.filter(pl.col("value").is_finite())


def scores(images: pl.DataFrame, common: pl.DataFrame) -> pl.DataFrame:
    """Per cell and column: how many images, how many of them infinite, how many are not in `common` (`comparable`),
    and the `mean` over those that are, null when none is.
    """
    counts = {"images": pl.len(), "infinite": pl.col("value").is_infinite().sum()}
    kept = common.group_by(_KEYS).agg(kept=pl.len())
    means = _averaged(common).group_by(_KEYS).agg(pl.col("value")).with_columns(mean=_means()).drop("value")
    joined = images.group_by(_KEYS).agg(**counts).join(means, on=_KEYS, how="left").join(kept, on=_KEYS, how="left")
    return joined.with_columns(left_out=pl.col("images") - pl.col("kept").fill_null(0)).drop("kept")


def differences(finite: pl.DataFrame) -> pl.DataFrame:
    """Per cell and column the `delta`: mean of value − base over the images that both have. `finite`: finite values.

    Cells without a base, or without such an image, have no row.
    """
    bases = finite.select(*COLUMN, "image", base="cell", base_value="value")
    paired = finite.join(bases, on=["base", *COLUMN, "image"])
    gains = _averaged(paired.with_columns(value=pl.col("value") - pl.col("base_value")))
    values = gains.group_by(_KEYS).agg(pl.col("value"))
    return values.with_columns(delta=_means()).drop("value")


def _averaged(values: pl.DataFrame) -> pl.DataFrame:
    """What means are over, a row each: the images, or the means of the scenes where the protocol averages scenes."""
    scenes = values.filter(pl.col("mean") == "scene")
    if scenes.is_empty():
        return values
    scene = pl.col("scene").fill_null(pl.col("image"))
    means = scenes.group_by(*_KEYS, scene).agg(pl.col("value")).with_columns(value=_means())
    images = values.filter(pl.col("mean").ne_missing("scene"))
    return pl.concat([images.select(*_KEYS, "value"), means.select(*_KEYS, "value")])


def _means() -> pl.Expr:
    """The exact mean of each list of values."""
    return pl.col("value").map_elements(image_mean, return_dtype=pl.Float64, skip_nulls=False)


def entries(found: Measured) -> Mapping[tuple[RowKey, Column], TableEntry]:
    """The entries by row and column, for every column that a cell of the row is asked for, and for the means over
    several test sets (harness.reports.parts), which come after the others."""
    common = comparable(found)
    seeds = (
        found.coverage.drop("images")
        .join(found.cells.select("cell", *ROW), on="cell", how="left", maintain_order="left")
        .join(scores(found.images, common), on=_KEYS, how="left", maintain_order="left")
        .join(differences(common), on=_KEYS, how="left", maintain_order="left")
    )
    grouped = (
        with_averages(seeds)
        .group_by(*ROW, *COLUMN, maintain_order=True)
        .agg(
            means=pl.col("mean").drop_nulls(),
            deltas=pl.col("delta").drop_nulls(),
            images=pl.col("images").min(),
            infinite=pl.col("infinite").sum(),
            left_out=pl.coalesce(
                pl.col("left_out").filter(pl.col("mean").is_not_null()).max(),
                pl.col("left_out").filter(~_ALL_INFINITE).max(),
            ),
            all_infinite=_ALL_INFINITE.sum(),
            seeds=pl.col("images").count(),
            wanted=pl.len(),
            overlaps=pl.col("overlap").drop_nulls().unique(maintain_order=True),
            reasons=pl.col("reason").filter(pl.col("images").is_null()).drop_nulls().unique(maintain_order=True),
        )
    )
    return {
        (tuple(row[name] for name in ROW), Column(*(row[name] for name in COLUMN))): TableEntry(
            score=spread(row["means"]),
            images=row["images"] or 0,
            infinite=row["infinite"],
            left_out=row["left_out"] or 0,
            delta=spread(row["deltas"]),
            seeds=row["seeds"],
            all_infinite=row["all_infinite"],
            wanted=row["wanted"],
            reason="; ".join(row["reasons"]),
            overlap="; ".join(row["overlaps"]),
        )
        for row in grouped.iter_rows(named=True)
    }
