"""Data sets of unpaired halves, where a suite needs pairs: losses that read them, and tests that are scored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import cast

from harness.api.asking import keys_of, opened
from harness.api.dataset import RandomAccess, SourceImage
from harness.api.declaration import declaration
from harness.api.library import InLibrary
from harness.api.reference import PartRef
from harness.cells.suite import ResolvedSuite, SuiteCell
from harness.core.errors import HarnessError, Problem
from harness.core.guests import contained
from harness.core.registry import Registry
from harness.spec.notes import called
from harness.spec.origins import Origin
from harness.spec.tasks import brings_pairs


def unpaired(
    suite: ResolvedSuite, registry: Registry, places: Mapping[str, Origin], only: Collection[str] | None = None
) -> list[Problem]:
    """The mistakes of cells that train or are tested on halves as if they were pairs, each once.

    The first and the last image of each split are looked at, of data sets with random access. `only`: ids of cells.
    """
    known: dict[tuple[str, str], bool] = {}

    def halves(dataset: PartRef, split: str) -> bool:
        key = dataset.model_dump_json(), split
        if key not in known:
            known[key] = _halves(dataset, split, registry)
        return known[key]

    found: dict[Problem, None] = {}
    for entry in suite.cells:
        cell = entry.cell
        if cell.id not in places or (only is not None and cell.id not in only):
            continue
        own = cell.task.derived_from is None and not cell.ready_made
        for loss in _of_pairs(entry, registry) if own and halves(cell.train, "train") else ():
            what = f"the loss {loss} reads pairs, and the images of {called(cell.train, suite)} are unpaired"
            hint = "a data set of pairs, or losses that read unpaired images"
            found[places[cell.id].of_recipe("losses", what=what, hint=hint)] = None
        for test in entry.tests:
            if test.task.derived_from is None and halves(test.dataset, test.split):
                what = f"the test images of {called(test.dataset, suite)} are unpaired, so that none can be scored"
                found[places[cell.id].of_tests(what=what, hint="test: a data set of pairs")] = None
    return list(found)


def _of_pairs(entry: SuiteCell, registry: Registry) -> Iterator[str]:
    """The losses of a cell that need the clean image of every degraded one."""
    for name in dict.fromkeys(term.part.name for term in entry.cell.loss_terms):
        if declaration(registry, "loss", name).traits.reads == "pair":
            yield name


def _halves(dataset: PartRef, split: str, registry: Registry) -> bool:
    """Whether the first and the last image of a split have no partners."""
    if dataset.is_unread or not brings_pairs(dataset, registry):
        return False
    try:
        part = opened(registry, dataset.name, dataset.arguments)
        if isinstance(part, InLibrary):
            return all(None in (sample.degraded, sample.clean) for sample in part.ends(split))
        if not part.traits.random_access:
            return False
        keys = keys_of(part, split)
        ends = [_image(cast(RandomAccess, part), split, key) for key in dict.fromkeys([*keys[:1], *keys[-1:]])]
    except HarnessError:  # it is left to those who prepare the images
        return False
    return bool(ends) and all(image is not None and (image.pixels is None or image.degraded is None) for image in ends)


def _image(part: RandomAccess, split: str, key: str) -> SourceImage | None:
    with contained(quiet=True, owner=part):
        return next(iter(part.images_at(split, [key])), None)
