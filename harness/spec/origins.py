"""Where in a suite file a cell comes from, for mistakes that are found after expansion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.suite import Run
from harness.core.errors import Problem
from harness.core.registry import Registry
from harness.core.yaml import Path
from harness.spec.checks import device_mistakes, gang_mistakes, image_mistakes
from harness.spec.drafts import CellDraft, Layer, VariantDraft
from harness.spec.layers import Recipes
from harness.spec.schema import SuiteFile
from harness.spec.zero_file import unlike_file


@dataclass(frozen=True, eq=False)
class Origin:
    """The places of one combination's choices, and the layers of its recipe."""

    suite: SuiteFile
    recipes: Recipes
    choices: Mapping[str, Path]
    """Axis → path of the value that was chosen; an axis that stands nowhere is missing."""
    layers: Sequence[Layer]
    backbone: PartRef | None = None
    task: PartRef | None = None

    def of_axis(self, axis: str, *below: str, what: str, hint: str = "") -> Problem:
        """A mistake in what an axis chose, or in a key below it; `backbone` where the axis stands nowhere."""
        path = self.choices.get(axis, self.choices.get("backbone", ("blocks",)))
        return self.suite.problem((*path, *below) if axis in self.choices else path, what, hint)

    def of_recipe(self, *path: str | int, what: str, hint: str = "") -> Problem:
        """A mistake in a field of the recipe; where no layer sets it, at the backbone, which brought it."""
        place = self.recipes.place(self.layers, self.backbone, self.task, path)
        return self.suite.problem(place, what, hint) if place else self.of_axis("backbone", what=what, hint=hint)

    def of_tests(self, *, what: str, hint: str = "") -> Problem:
        """A mistake in what the cell is tested on: the block's `test`, the defaults', or the data set itself."""
        path = next((path for path in self.choices.values() if path[0] == "blocks"), None)
        block = self.suite.blocks[int(path[1])] if path else None
        if block is not None and path is not None and block.test is not None:
            return self.suite.problem((*path[:2], "test"), what, hint)
        if self.suite.defaults.test is not None:
            return self.suite.problem(("defaults", "test"), what, hint)
        return self.of_axis("dataset", what=what, hint=hint)


def origins(own: Origin, variant: VariantDraft, made: Sequence[CellDraft]) -> dict[str, Origin]:
    """Cell id → its origin, of the cells of one combination and those that they require."""
    found = {draft.cell.id: own for draft in made}
    bases = {draft.cell.base.id for draft in made if draft.cell.base is not None}
    if variant.base_recipe is not None:
        below = (*own.layers, variant.base_recipe)
        base = Origin(own.suite, own.recipes, own.choices, below, own.backbone, own.task)
        found |= dict.fromkeys(bases, base)
    source = variant.prior.any_source if variant.prior else None
    if source is not None:
        below = (*own.layers, source.recipe) if source.recipe else tuple(own.layers)
        choices = {**own.choices, "backbone": source.network[1]}
        behind = Origin(own.suite, own.recipes, choices, below, source.backbone, source.task.ref)
        found |= {draft.cell.prior_source.id: behind for draft in made if draft.cell.prior_source is not None}
    return found


def misplaced(cells: Iterable[Cell], places: Mapping[str, Origin], run: Run, registry: Registry) -> list[Problem]:
    """Recipes that contradict the device or the training set, of all cells that train, required ones included."""
    known: set[tuple[int, int]] = set()
    found: list[Problem] = []
    for cell in cells:
        key = id(cell.recipe), id(cell.train)
        if cell.ready_made or key in known:
            continue
        known.add(key)
        if run.deepspeed is not None:
            found += unlike_file(places[cell.id].suite, cell.recipe, run, run.deepspeed, found)
        for mistake in (
            *device_mistakes(cell.recipe, run),
            *gang_mistakes(cell.recipe, run),
            *image_mistakes(cell.recipe, cell.train, registry),
        ):
            found.append(places[cell.id].of_recipe(*mistake.path, what=mistake.what, hint=mistake.hint))
    return found
