"""The numbers of a table: means over images, then over seeds, and paired differences.

Sums are exactly rounded (math.fsum), so that no order of files, images or seeds shows in the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.reports.query import CellResult, Column


@dataclass(frozen=True)
class Spread:
    """A mean over `count` seeds and the sample standard deviation over them, None for a single seed."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Summary:
    """One entry of a table."""

    score: Spread | None
    """None when no seed has a finite mean."""
    images: int
    """Images a seed; the fewest, should seeds differ."""
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


def paired_difference(values: Mapping[str, float], base: Mapping[str, float]) -> float | None:
    """Mean of value − base over the images that both have, both finite; None when there is no such image."""
    return image_mean(value - base[key] for key, value in values.items() if key in base and math.isfinite(base[key]))


def summarise(column: Column, cells: Sequence[CellResult], bases: Sequence[CellResult | None]) -> Summary | None:
    """One entry from the cells of a row, one a seed, and the base cell of each. None when none asks for the column."""
    asked = [cell for cell in cells if column in cell.wanted]
    if not asked:
        return None
    scores = [cell.scores[column] for cell in asked if column in cell.scores]
    means = [mean for values in scores if (mean := image_mean(values.values())) is not None]
    differences = [
        difference
        for cell, base in zip(cells, bases, strict=True)
        if base is not None and column in cell.scores and column in base.scores
        if (difference := paired_difference(cell.scores[column], base.scores[column])) is not None
    ]
    return Summary(
        score=spread(means),
        images=min(map(len, scores), default=0),
        infinite=sum(math.isinf(value) for values in scores for value in values.values()),
        delta=spread(differences),
        seeds=len(scores),
        wanted=len(asked),
        reason="; ".join(dict.fromkeys(cell.why_not(column) for cell in asked if column not in cell.scores)),
    )
