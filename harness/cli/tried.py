"""What only built networks show of a suite (harness.training.trial), as mistakes at their lines of the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness.cells.cell import Cell
from harness.cells.suite import ResolvedSuite
from harness.core.errors import Problem, SpecErrors
from harness.core.registry import Registry
from harness.core.text import shortened
from harness.planning.job import TrainWork
from harness.planning.plan import Plan
from harness.spec.halves import unpaired
from harness.spec.origins import Origin
from harness.spec.small_images import First, first_images, small_images

if TYPE_CHECKING:
    from harness.training.faults import Fault


def tried(
    suite: ResolvedSuite, registry: Registry, origins: Mapping[str, Origin], only: Collection[str] | None = None
) -> list[Problem]:
    """The mistakes of a suite that has none so far, each once, with how many cells it concerns.

    Each different network is built once, without numbers. `only`: ids of cells to try; all when None. The first
    training image is looked at, too, and whether data sets are unpaired that are used as pairs.
    No network is tried where PyTorch is not installed.
    """
    tested = [entry.cell for entry in suite.cells if only is None or entry.cell.id in only]
    firsts = first_images(tested, registry)
    small = [*small_images(tested, firsts, origins, registry), *unpaired(suite, registry, origins, only)]
    if find_spec("torch") is None:
        return sorted(small)
    trial = import_module("harness.training.trial").Trial(registry)  # by name: it imports PyTorch
    found: dict[Problem, list[str]] = {}
    for entry in suite.cells:
        if entry.cell.id in origins and (only is None or entry.cell.id in only):
            faults = trial.faults(entry.cell)
            for fault in faults:
                found.setdefault(_problem(fault, origins[entry.cell.id]), []).append(entry.title)
            what = "" if faults else _misread(entry.cell, trial.channels(entry.cell), firsts.get(entry.cell.id))
            if what:
                hint = "options with which it reads such images, or another data set"
                problem = origins[entry.cell.id].of_axis("backbone", what=what, hint=hint)
                found.setdefault(problem, []).append(entry.title)
    told = (replace(problem, what=f"{problem.what} ({_cells(titles)})") for problem, titles in found.items())
    return sorted([*small, *told])


def _misread(cell: Cell, channels: tuple[int, int] | None, first: First | None) -> str:
    """What is wrong where a network reads or gives other images than the first one of its training set; else empty."""
    if channels is None or first is None or cell.backbone is None:
        return ""
    made = cell.task.derived_from is not None  # of the clean image, which gives it its channels
    degraded = first.clean if made else first.degraded
    for own, found, does, kind in (
        (channels[0], degraded, "reads", "clean" if made else "degraded"),
        (channels[1], first.clean, "gives", "clean"),
    ):
        if found is not None and own != found:
            counted = "1 channel" if own == 1 else f"{own} channels"
            where = f"the {kind} image {first.key} of {cell.train.name} has {found}"
            return f"{cell.backbone.name} {does} images of {counted} here, and {where}"
    return ""


def refuse(resolved: ResolvedSuite, registry: Registry, origins: Mapping[str, Origin], only: Collection[str]) -> None:
    """Raises SpecErrors when some of these cells cannot be trained as the suite says."""
    problems = tried(resolved, registry, origins, only) if only else []
    if problems:
        raise SpecErrors(problems)


def to_train(plan: Plan) -> set[str]:
    """The cells that a run is to train."""
    works = [planned.job.work for planned in plan.to_run]
    return {work.cell.id for work in works if isinstance(work, TrainWork)}


def _problem(fault: Fault, origin: Origin) -> Problem:
    if fault.place is not None:
        file, line = fault.place
        return Problem(file, line, 1, f"{fault.kind} {fault.name}", fault.what, fault.hint)
    if fault.field or fault.kind == "loss":
        return origin.of_recipe(*(fault.field or ("losses",)), what=fault.what, hint=fault.hint)
    if fault.kind in ("refiner", "prior"):
        return origin.of_axis("variant", fault.kind, what=fault.what, hint=fault.hint)
    return origin.of_axis("backbone", what=fault.what, hint=fault.hint)


def _cells(titles: list[str]) -> str:
    first = f"cell {shortened(titles[0], 100)}"
    return first if len(titles) == 1 else f"{first}, and {len(titles) - 1} more"
