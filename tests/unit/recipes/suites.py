"""Cells of small suites, for tests of recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.cell import Cell
from harness.cells.suite import ResolvedSuite
from harness.core.errors import SpecErrors
from harness.parts.plugins import open_suite

LARGE = str(Path(__file__).with_name("large.py"))
SUITE = f"suite: s\ndefaults: {{{{dataset: large}}}}\nblocks:\n  - {{}}\nplugins: ['{LARGE}']\n"


def expanded(tmp_path: Path, block: str) -> ResolvedSuite:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.format(block))
    return open_suite(str(file))[0]


def cells(tmp_path: Path, block: str) -> list[Cell]:
    return [entry.cell for entry in expanded(tmp_path, block).cells if entry.listed and entry.cell.backbone]


def cell(tmp_path: Path, recipe: str, backbone: str = "restormer", task: str = "derain") -> Cell:
    [made] = cells(tmp_path, f"{{task: {task}, backbone: {backbone}, recipe: {recipe}}}")
    return made


def problem(tmp_path: Path, block: str) -> tuple[str, str, str]:
    with pytest.raises(SpecErrors) as caught:
        expanded(tmp_path, block)
    [found] = caught.value.problems
    return found.path, found.what, found.hint
