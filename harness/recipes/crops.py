"""Settings of a recipe that say what is cut from the training images, where they contradict each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from harness.cells.patches import Sides, shown_patch, sides_of
from harness.cells.recipe import Recipe, Stage
from harness.core.wording import Mistake
from harness.core.yaml import Path

MIN_PATCH = 16
MAX_PIXELS = 1 << 26
"""More pixels per forward pass than any device of today holds; batch and patch were probably swapped."""

MAX_CROP = 2048
"""Side of the largest crop; images of training sets are rarely larger than that."""


def plain(recipe: Recipe) -> Recipe:
    """The same recipe without a `stride` that says what is so anyway: one recipe has one id, however it is written."""
    crops = [crop for crop in recipe.crops if crop is not None]
    usual = recipe.crop == "grid" and bool(crops) and all(recipe.stride == min(crop) for crop in crops)
    return recipe.model_copy(update={"stride": None}) if usual else recipe


def patch_mistakes(part: Stage, resize: Sides | None) -> Iterator[Mistake]:
    """What is wrong with the patches of one part of the training, in which everything is filled in."""
    assert part.batch is not None, part
    sides = sides_of(part.patch) or resize
    if sides is None:
        return
    forward, whole = part.micro_batch or part.batch, part.patch == "whole"
    path: Path = ("resize",) if whole else ("patch",)
    said = f"{sides[0]}×{sides[1]}"
    if min(sides) < MIN_PATCH:
        what = f"patches of {said if sides[0] != sides[1] else sides[0]} pixels are too small to learn from"
        yield Mistake(path, what, f"at least {MIN_PATCH}")
    elif forward * sides[0] * sides[1] > MAX_PIXELS:
        what = f"{forward} patches of {said} pixels at once: no device holds that"
        yield Mistake(path, what, "are batch and patch swapped? Otherwise set micro_batch")


def crop_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Crops that no image holds, grids with gaps, and settings that exclude each other."""
    yield from _size_mistakes(recipe)
    yield from _grid_mistakes(recipe)
    yield from _region_mistakes(recipe)
    yield from _whole_mistakes(recipe)
    if recipe.resize is not None and recipe.pad == "none":
        for path, crop, patch in _crops(recipe):
            if crop[0] > recipe.resize[0] or crop[1] > recipe.resize[1]:
                what = f"images are resized to {list(recipe.resize)}, and patch is {shown_patch(patch)}"
                yield Mistake(path, what, "a smaller patch, a larger resize, or pad: reflect")


def _crops(recipe: Recipe) -> Iterator[tuple[Path, Sides, int | Sides | str | None]]:
    """Where the patch of every stage stands, what is cut for it, and the patch; whole images left out."""
    stages = recipe.stages or (None,)
    for index, (stage, part, crop) in enumerate(zip(stages, recipe.parts, recipe.crops, strict=True)):
        own = stage is not None and stage.patch is not None
        if crop is not None:
            yield (("stages", index, "patch") if own else ("patch",)), crop, part.patch


def _size_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Crops, or samples made smaller, so large that no image holds them."""
    for path, crop, patch in _crops(recipe):
        if max(crop) <= MAX_CROP:
            continue
        if recipe.scale is None:
            yield Mistake(path, f"no patches of {shown_patch(patch)} pixels are cut", f"patch: {MAX_CROP} at most")
            return
        what = f"patches of {shown_patch(patch)} pixels, made smaller by {recipe.scale.least:g}, need crops of"
        least = math.ceil(1000 * max(sides_of(patch) or crop) / MAX_CROP) / 1000
        hint = f"least: {least:g} or more, or a smaller patch" if least < 1 else "a smaller patch"
        yield Mistake(("scale", "least"), f"{what} {max(crop)}", hint)
        return


def _grid_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """A step between crops without a grid, or with gaps between them."""
    if recipe.stride is not None and recipe.crop != "grid":
        what = "stride is the step of a grid, and crops are cut at random"
        yield Mistake(("stride",), what, "crop: grid, or remove it; several samples of a large image: regions")
        return
    for _, crop, _ in _crops(recipe):
        if recipe.stride and recipe.stride > min(crop):
            what = f"stride {recipe.stride} skips pixels between patches of {_said(crop)}"
            hint = "at most the patch's shorter side" if crop[0] != crop[1] else "at most the patch"
            yield Mistake(("stride",), what, hint if recipe.scale is None else "at most patch / scale.least")
            return


def _region_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Regions beside a grid, and patches or steps that they do not hold."""
    regions = recipe.regions
    if regions is None:
        return
    if recipe.crop == "grid":
        what = "regions do nothing with crop: grid, whose crops are samples of their own"
        yield Mistake(("regions",), what, "remove it, or crop: random")
    if regions.stride > regions.side:
        what = f"stride {regions.stride} skips pixels between regions of {regions.side}"
        yield Mistake(("regions", "stride"), what, "at most `side`")
    if regions.above is not None and regions.above < regions.side:
        what = f"above {regions.above} does nothing: an image must hold a region of {regions.side} anyway"
        yield Mistake(("regions", "above"), what, f"remove it, or {regions.side} or more")
    for _, crop, patch in _crops(recipe):
        if max(crop) > regions.side:
            cut = f", cut from {_said(crop)}" if recipe.scale is not None else ""
            what = f"regions of {regions.side} pixels do not hold patches of {shown_patch(patch)}{cut}"
            yield Mistake(("regions", "side"), what, f"side: {max(crop)} or more, or a smaller patch")
            return


def _whole_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """What needs crops, beside whole images."""
    if all(crop is not None for crop in recipe.crops):
        return
    remedy = "remove it, or give `patch` a size"
    found = [
        (recipe.scale is not None, Mistake(("scale",), "scale cuts patches from larger crops, and patch is whole")),
        (recipe.crop == "grid", Mistake(("crop",), "crop: grid cuts patches, and patch is whole")),
        (recipe.regions is not None, Mistake(("regions",), "regions are parts of images, and patch is whole")),
    ]
    yield from (replace(mistake, hint=remedy) for holds, mistake in found if holds)
    frames = [part for part, crop in zip(recipe.parts, recipe.crops, strict=True) if crop is None]
    height, width = recipe.resize or (1, 1)
    if height != width and recipe.augment == "dihedral" and any(part.batch != 1 for part in frames):
        what = f"a quarter turn makes {width}×{height} of images of {height}×{width}, and a batch has one size"
        yield Mistake(("resize",), what, "augment: flips, or batch: 1")
    if recipe.pad != "none" and all(crop is None for crop in recipe.crops):
        yield Mistake(("pad",), "pad does nothing where patch is whole", "remove it")


def _said(crop: Sides) -> str:
    return str(crop[0]) if crop[0] == crop[1] else f"{crop[0]}×{crop[1]}"
