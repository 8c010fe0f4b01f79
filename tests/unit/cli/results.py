"""A small suite file, its cells, and calls of `bench` in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from harness.cells.suite import ResolvedSuite
from harness.cli.common import layout_for
from harness.cli.main import app
from harness.core.paths import Layout, write_text
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand
from harness.spec.parse import load_suite
from tests.unit.records import made

SUITE = """
suite: small
metrics: [psnr]
defaults: {dataset: photos, seeds: [0, 1]}
blocks:
  - matrix:
      task: [low_light]
      backbone: [{name: nafnet, width: 8, label: NAFNet-8}]
      variant: [base, {refiner: ptg_rm, prior: nss}]
"""


def bench(*words: object) -> Result:
    """`bench <words>`; output and exit code."""
    return CliRunner().invoke(app, [str(word) for word in words])


class Results:
    """The suite in a folder, and results that are laid there by hand."""

    def __init__(self, folder: Path) -> None:
        self.file, self.out = folder / "small.yaml", folder / "out"
        self.file.write_text(SUITE)
        self.layout: Layout = layout_for("small", self.out)
        self.suite: ResolvedSuite = expand(load_suite(str(self.file)), REGISTRY)
        write_text(self.layout.suite("small"), self.suite.model_dump_json())

    def finish(self, *places: int, **options: Any) -> None:
        """Finishes the cells that stand at those places of the suite: input, base 0, base 1, nss 0, nss 1."""
        for place in places:
            suite_cell = self.suite.cells[place]
            scores = made.values([20.0 + place, 22.0 + place])
            made.finish(self.layout, suite_cell.cell, scores, dataset=suite_cell.tests[0].dataset, **options)
