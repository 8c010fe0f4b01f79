"""How long jobs will take, from the records of finished cells of the same kind. Nothing on record: no guess."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from harness.cells.cell import Cell
from harness.core.identity import canonical_json
from harness.planning.job import EvaluateWork, TrainWork, Work
from harness.records.model import RunRecord

_NO_PACE = frozenset({"steps", "lr", "lr_min", "warmup", "hold", "cycles", "milestones", "gamma", "preset"})
"""Fields of a recipe that change no step's speed."""


def _pace(cell: Mapping[str, Any]) -> str:
    """A name for all that a cell's speed depends on: network, variant and recipe without the number of steps."""
    recipe = {name: value for name, value in cell["recipe"].items() if name not in _NO_PACE}
    return canonical_json([cell["backbone"], cell["variant"], recipe])


def _pace_of(cell: Cell) -> str:
    return _pace(cell.model_dump(mode="json", include={"backbone", "variant", "recipe"}))


class Costs:
    """Seconds per training step and per test set, by network, variant and recipe."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        steps, images = defaultdict(list), defaultdict(list)
        for record in records:
            pace = _pace(record.cell)
            if record.training is not None and record.training.steps > 0:
                steps[pace].append(record.training.seconds / record.training.steps)
            for evaluation in record.evaluations:
                images[pace].append((evaluation.dataset, evaluation.seconds))
        self._step = {pace: fmean(values) for pace, values in steps.items()}
        self._tests = dict(images)

    def seconds(self, work: Work) -> float | None:
        """Expected wall time of a train or evaluate job; None when nothing like it is on record."""
        if isinstance(work, TrainWork) and self._step:
            step = self._step.get(_pace_of(work.cell))
            return None if step is None else step * work.cell.recipe.steps
        if isinstance(work, EvaluateWork) and self._tests:
            known = self._tests.get(_pace_of(work.cell), [])
            tests = [[s for name, s in known if name == test.dataset.called] for test in work.tests]
            return sum(map(fmean, tests)) if all(tests) else None
        return None


def wall_time(seconds: Iterable[float | None], at_once: int) -> tuple[float, int] | None:
    """(seconds that jobs take when `at_once` run side by side, number of jobs of unknown length).

    None when all lengths are unknown.
    """
    costs = list(seconds)
    known = [cost for cost in costs if cost is not None]
    return (sum(known) / max(1, at_once), len(costs) - len(known)) if known else None
