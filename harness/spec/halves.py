"""Data sets of unpaired halves, where a suite needs pairs: losses that read them, and tests that are scored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, cast

from harness.api.asking import keys_of, opened
from harness.api.dataset import Dataset, RandomAccess, SourceImage
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
    known: dict[tuple[str, str], _Ends] = {}
    alone = any(metric.reference == "none" for metric in suite.metrics)

    def ends(dataset: PartRef, split: str) -> _Ends:
        key = dataset.model_dump_json(), split
        if key not in known:
            known[key] = _ends(dataset, split, registry)
        return known[key]

    found: dict[Problem, None] = {}
    for entry in suite.cells:
        cell = entry.cell
        if cell.id not in places or (only is not None and cell.id not in only):
            continue
        own = cell.task.derived_from is None and not cell.ready_made
        for loss in _of_pairs(entry, registry) if own and ends(cell.train, "train").unpaired else ():
            what = f"the loss {loss} reads pairs, and the images of {called(cell.train, suite)} are unpaired"
            hint = "a data set of pairs, or losses that read unpaired images"
            found[places[cell.id].of_recipe("losses", what=what, hint=hint)] = None
        for test in entry.tests:
            if test.task.derived_from is not None:
                continue
            told, name = ends(test.dataset, test.split), called(test.dataset, suite)
            if told.unpaired and not told.only_degraded:
                what = f"the test images of {name} are unpaired, so that none can be scored"
                found[places[cell.id].of_tests(what=what, hint="test: a data set of pairs")] = None
            elif told.only_degraded and not alone:
                what = f"the test images of {name} have no clean ones, and all metrics of this suite compare with them"
                hint = "metrics: [niqe], or another one without reference"
                found[places[cell.id].of_tests(what=what, hint=hint)] = None
    return list(found)


def _of_pairs(entry: SuiteCell, registry: Registry) -> Iterator[str]:
    """The losses of a cell that need the clean image of every degraded one."""
    for name in dict.fromkeys(term.part.name for term in entry.cell.loss_terms):
        if declaration(registry, "loss", name).traits.reads == "pair":
            yield name


class _Ends(NamedTuple):
    """What the first and the last image of a split tell of it."""

    unpaired: bool = False
    """They have no partners."""
    only_degraded: bool = False
    """They have no clean ones, as in sets that only metrics without reference score."""


def _ends(dataset: PartRef, split: str, registry: Registry) -> _Ends:
    if dataset.is_unread or not brings_pairs(dataset, registry):
        return _Ends()
    try:
        there = list(_there(opened(registry, dataset.name, dataset.arguments), split))
    except HarnessError:  # it is left to those who prepare the images
        return _Ends()
    lone = bool(there) and not any(clean and degraded for clean, degraded in there)
    return _Ends(unpaired=lone, only_degraded=lone and not any(clean for clean, _ in there))


def _there(part: Dataset | InLibrary, split: str) -> Iterator[tuple[bool, bool]]:
    """Whether there is a clean one, and a degraded one, of the first and of the last image of a split; nothing of a
    data set without random access."""
    if isinstance(part, InLibrary):
        for sample in part.ends(split):
            yield sample.clean is not None, sample.degraded is not None
    elif part.traits.random_access:
        keys = keys_of(part, split)
        for key in dict.fromkeys([*keys[:1], *keys[-1:]]):
            image = _image(cast(RandomAccess, part), split, key)
            yield image is None or image.pixels is not None, image is None or image.degraded is not None


def _image(part: RandomAccess, split: str, key: str) -> SourceImage | None:
    with contained(quiet=True, owner=part):
        return next(iter(part.images_at(split, [key])), None)
