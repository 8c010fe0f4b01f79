"""Which cells belong together: the seeds of one configuration, and a refined cell and its base."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cells.cell import Cell
from harness.core.identity import canonical_json, digest, joined_json
from harness.results.survey import SurveyedCell


def configuration(cell: Cell) -> str:
    """Digest of a cell without its seed and the seeds of the cells that it builds on, 12 hex digits."""
    text = cell.canonical_content("seed")
    for needed in cell.requires:
        text = text.replace(needed.id, configuration(needed))
    return digest(text, 12)


class Bases:
    """Finds the base that a cell is compared with: the one it started from, else the one that differs in
    nothing but the treatment (same task, train split, backbone, recipe and seed, and neither or both of an earlier
    release). Both are listed under one task label.
    Of the recipe the stages count in which the backbone trains: the base has no others.
    """

    def __init__(self, cells: Iterable[SurveyedCell]) -> None:
        plain = [each for each in cells if each.listed and each.cell.is_base]
        self._by_id = {(_task(each), each.id): each.id for each in plain}
        self._by_content = {(_task(each), _but_for_treatment(each.cell)): each.id for each in plain}

    def base_of(self, found: SurveyedCell) -> str | None:
        """The id of the base of a refined or continued cell; None for others, and where no suite lists the base."""
        cell = found.cell
        if cell.backbone is None or cell.is_base:
            return None
        if cell.base is not None:
            return self._by_id.get((_task(found), cell.base.id))
        return self._by_content.get((_task(found), _but_for_treatment(cell)))


def _task(found: SurveyedCell) -> str:
    return found.suite_cell.labels.task


def _but_for_treatment(cell: Cell) -> str:
    assert cell.backbone is not None, cell.id
    parts = {"task": cell.task, "train": cell.train, "backbone": cell.backbone, "recipe": cell.recipe.for_backbone}
    plain = {"seed": cell.seed, "earlier": cell.is_earlier}
    texts = {name: part.canonical for name, part in parts.items()}
    return joined_json(texts | {name: canonical_json(value) for name, value in plain.items()})
