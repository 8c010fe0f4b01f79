"""How long jobs will take, from the records of finished cells of the same kind. Nothing on record: no guess."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from harness.cells.cell import Cell
from harness.core.identity import canonical_json
from harness.planning.job import EvaluateWork, TrainWork, Work
from harness.records.model import RunRecord

_NO_PACE = frozenset({"steps", "lr", "lr_min", "warmup", "hold", "cycles", "milestones", "gamma", "preset"})
"""Fields of a recipe that change no step's speed."""


class Costs:
    """Seconds per training step and per test set, by network, variant and recipe."""

    def __init__(self, records: Iterable[tuple[Cell, RunRecord]]) -> None:
        """`records`: cells with what is on record of them.

        Of cells that were trained together the training tells no pace: its seconds are a share of the time that all
        took, and each alone takes longer than its share (harness.records.model.Training.together).
        """
        self._paces: dict[tuple[int, ...], tuple[object, str]] = {}
        steps: dict[str, list[float]] = defaultdict(list)
        tests: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for cell, record in records:
            pace = self._pace(cell)
            trained = record.training
            if trained is not None and trained.steps > 0 and trained.together == 1:
                steps[pace].append(trained.seconds / trained.steps)
            for evaluation in record.evaluations:
                tests[pace][evaluation.dataset].append(evaluation.seconds)
        self._step = {pace: fmean(values) for pace, values in steps.items()}
        self._tests = {pace: {name: fmean(values) for name, values in sets.items()} for pace, sets in tests.items()}

    def seconds(self, work: Work) -> float | None:
        """Expected wall time of a train or evaluate job; None when nothing like it is on record."""
        if isinstance(work, TrainWork) and self._step:
            step = self._step.get(self._pace(work.cell))
            return None if step is None else step * work.cell.recipe.steps
        if isinstance(work, EvaluateWork) and self._tests:
            known = self._tests.get(self._pace(work.cell), {})
            tests = [known.get(test.dataset.called) for test in work.tests]
            found = [seconds for seconds in tests if seconds is not None]
            return sum(found) if len(found) == len(tests) else None
        return None

    def _pace(self, cell: Cell) -> str:
        """A name for all that a cell's speed depends on: network, variant and recipe without the number of steps."""
        of = (cell.backbone, cell.variant, cell.recipe)
        key = tuple(map(id, of))  # thousands of cells hold the very same ones, which are kept beside their places
        if key not in self._paces:
            content = cell.model_dump(mode="json", include={"backbone", "variant", "recipe"})
            recipe = {name: value for name, value in content["recipe"].items() if name not in _NO_PACE}
            self._paces[key] = of, canonical_json([content["backbone"], content["variant"], recipe])
        return self._paces[key][1]


def wall_time(seconds: Iterable[float | None], at_once: int) -> tuple[float, int] | None:
    """(seconds that jobs take when `at_once` run side by side, number of jobs of unknown length).

    None when all lengths are unknown.
    """
    costs = list(seconds)
    known = [cost for cost in costs if cost is not None]
    return (sum(known) / max(1, at_once), len(costs) - len(known)) if known else None
