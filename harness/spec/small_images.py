"""The first training image, where a recipe's patches are larger than it: of data sets that do not say their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.api.asking import first_image, opened
from harness.api.library import InLibrary
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import Recipe
from harness.core.errors import HarnessError, Problem
from harness.core.registry import Registry
from harness.core.wording import Mistake
from harness.spec.checks import declared_side, side_mistakes
from harness.spec.origins import Origin

_AFTER = "; only the first image was looked at"


@dataclass(frozen=True)
class First:
    """The first image of a training set: its sides in pixels, and the channels of its degraded and its clean image.

    One that the data set does not bring has none.
    """

    key: str
    height: int
    width: int
    degraded: int | None
    clean: int | None


def first_images(cells: Iterable[Cell], registry: Registry) -> Mapping[str, First]:
    """Cell id → the first image of its training set. Reads one image of each set.

    Cells are missing that are not trained, and those of a set whose images cannot be read: it is left to those who
    prepare it.
    """
    firsts: dict[str, First | None] = {}
    found: dict[str, First] = {}
    for cell in cells:
        if not cell.ready_made and cell.backbone is not None:
            name = repr(cell.train)
            if name not in firsts:
                firsts[name] = _first(cell.train, registry)
            if (first := firsts[name]) is not None:
                found[cell.id] = first
    return found


def small_images(
    cells: Iterable[Cell], firsts: Mapping[str, First], places: Mapping[str, Origin], registry: Registry
) -> list[Problem]:
    """The mistakes of recipes whose patches the first training image cannot hold, and of those that put whole images
    and their quarter turns into one batch, each once."""
    found: dict[Problem, None] = {}
    for cell in cells:
        first = firsts.get(cell.id)
        if first is None or cell.id not in places:
            continue
        for mistake in _turned_frames(cell.recipe, first):
            found[places[cell.id].of_recipe(*mistake.path, what=mistake.what, hint=mistake.hint)] = None
        if declared_side(cell.train, registry) is not None:
            continue
        whose = f"the image {first.key} of {cell.train.name}"
        for mistake in side_mistakes(cell.recipe, (first.height, first.width), whose, _AFTER):
            found[places[cell.id].of_recipe(*mistake.path, what=mistake.what, hint=mistake.hint)] = None
    return list(found)


def _turned_frames(recipe: Recipe, first: First) -> Iterator[Mistake]:
    """Where whole images that are not square stand in a batch beside their quarter turns."""
    height, width = recipe.resize or (first.height, first.width)
    batches = [stage.batch or recipe.batch for stage, crop in zip(recipe.parts, recipe.crops, strict=True) if not crop]
    if recipe.augment == "dihedral" and height != width and max(batches, default=1) > 1:
        what = (
            f"a quarter turn makes {width}×{height} of whole images of {height}×{width}: no batches of {max(batches)}"
        )
        yield Mistake(("augment",), what, "augment: flips (or flip, none), or batch: 1")


def _first(train: PartRef, registry: Registry) -> First | None:
    """The first image of a training set; None where it gives none."""
    if train.digest is None or train.is_unread:
        return None
    try:
        dataset = opened(registry, train.name, train.arguments)
        if isinstance(dataset, InLibrary):
            found = dataset.ends("train")[0]
            return First(found.key, found.height, found.width, found.degraded, found.clean)
        image = first_image(dataset, "train")
    except HarnessError:
        return None
    if image is None:
        return None
    shapes = [tuple(getattr(pixels, "shape", ())) for pixels in (image.degraded, image.pixels)]
    known = [shape for shape, pixels in zip(shapes, (image.degraded, image.pixels), strict=True) if pixels is not None]
    if not known or any(len(shape) != 3 for shape in known):  # what is no image is told where images are prepared
        return None
    degraded, clean = (int(shape[2]) if shape else None for shape in shapes)
    return First(str(image.key), int(known[0][0]), int(known[0][1]), degraded, clean)
