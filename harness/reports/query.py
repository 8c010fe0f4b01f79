"""The data of one table: the frames of the cells that suites list."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from harness.results.frames import Results


@dataclass(frozen=True)
class Measured:
    """Frames as harness.results gives them, of listed cells alone."""

    cells: pl.DataFrame
    coverage: pl.DataFrame
    images: pl.DataFrame
    metrics: pl.DataFrame


def query(results: Results) -> Measured:
    """The listed cells of all suites of `results`, each once, in the suites' order."""
    return Measured(results.cells().filter("listed"), results.coverage(), results.images(), results.metrics())
