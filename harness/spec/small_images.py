"""Tiles that are larger than the first training image, of data sets that do not say how small their images are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.api.asking import first_image, opened
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.errors import HarnessError, Problem
from harness.core.registry import Registry
from harness.spec.checks import declared_side, side_mistakes
from harness.spec.origins import Origin
from harness.spec.resolve import arguments_of

_AFTER = "; only the first image was looked at"


@dataclass(frozen=True)
class _First:
    key: str
    side: int


def small_images(cells: Iterable[Cell], places: Mapping[str, Origin], registry: Registry) -> list[Problem]:
    """The mistakes of recipes whose tiles the first training image cannot hold, each once.

    Reads one image of each training set. A set whose images cannot be read is left to those who prepare it.
    """
    firsts: dict[str, _First | None] = {}
    found: dict[Problem, None] = {}
    for cell in cells:
        if cell.ready_made or cell.id not in places:
            continue
        name = repr(cell.train)
        if name not in firsts:
            firsts[name] = _first(cell.train, registry)
        first = firsts[name]
        if first is None:
            continue
        whose = f"the image {first.key} of {cell.train.name}"
        for mistake in side_mistakes(cell.recipe, first.side, whose, _AFTER):
            found[places[cell.id].of_recipe(*mistake.path, what=mistake.what, hint=mistake.hint)] = None
    return list(found)


def _first(train: PartRef, registry: Registry) -> _First | None:
    """The first image of a training set; None where it says how small its images are, or gives none."""
    if train.digest is None or declared_side(train, registry) is not None:
        return None
    try:
        image = first_image(opened(registry, train.name, arguments_of(train)), "train")
    except HarnessError:
        return None
    shape = getattr(getattr(image, "pixels", None), "shape", ())
    if image is None or len(shape) != 3:  # what is no image is told where images are prepared
        return None
    return _First(str(image.key), int(min(shape[:2])))
