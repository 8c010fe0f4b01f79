"""Tasks as data sets need them: whose degraded images a cell sees, and the options that test images are made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.api.sets import TestSet
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.core.wording import short
from harness.core.yaml import Path
from harness.recipes.mapping import PartMapping
from harness.spec.drafts import TaskDraft
from harness.spec.resolve import Resolver

Placed = tuple[PartRef, Path]
"""A data set, and where the file names it."""
Options = tuple[Mapping[str, Any], Path]
"""Options of a task under which it is tested, and where the file gives them; no path where it gives none."""

AS_IT_IS: tuple[Options, ...] = (({}, ()),)
"""The test options of a suite that gives none."""

_NOT_OPTIONS = ("name", "label")


def brings_pairs(dataset: PartRef, registry: Registry) -> bool:
    """Whether a data set, with these options, brings degraded images of its own."""
    return pairs_declared(dataset.name, dataset.arguments, registry)


def pairs_declared(name: str, options: Mapping[str, Any], registry: Registry) -> bool:
    """The same by name, with the options that a suite gives; the others have their defaults."""
    declared = declaration(registry, "dataset", name)
    return declared.traits.pairs_with(declared.filled(options))


class Tasks:
    """Resolves the tasks of one suite for its data sets. Equal ones come out as the same object."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._paired: dict[str, PartRef] = {}
        self._tests: dict[tuple[int, int, str], TestSet] = {}

    def uses_options(self, task: TaskDraft, train: PartRef | None, tested: Sequence[Placed]) -> bool:
        """Whether the options of a task, which are those of its degradation, do something on any of the data sets."""
        source = task.ref.derived_from
        if source is None:
            return False
        sets = [*([train] if train else ()), *(dataset for dataset, _ in tested)]
        return source.drawn or any(not brings_pairs(dataset, self._resolver.registry) for dataset in sets)

    def seen(self, task: TaskDraft, dataset: PartRef, at: Path, *, used: bool = False) -> PartRef | None:
        """The task as it is solved on the images of a data set; None, with the mistake noted, where it cannot be.

        A degradation that is drawn always acts on the clean images. One that is fixed stands in for degraded images of
        a data set that brings none. `at`: where the file names the data set. `used`: whether the task's options do
        something on another data set of the same cell.
        """
        ref, source = task.ref, task.ref.derived_from
        pairs = brings_pairs(dataset, self._resolver.registry)
        if source is None and not pairs:
            called = self._resolver.called(dataset)
            what = f"the task {ref.name} makes no inputs, and the data set {called} brings no degraded images"
            self._resolver.report(at, what, "a data set that brings degraded images, as `folder` with `lq` and `gt`")
            return None
        if source is None or source.drawn or not pairs:
            return ref
        unused = () if used else tuple(task.spec.options)
        for option in unused:
            what = f"{option} does nothing: {self._resolver.called(dataset)} brings its degraded images"
            self._resolver.report((*task.path, option), what, "remove it, or give the data set a block of its own")
        return None if unused else self._without_degradation(ref)

    def shares(self, task: PartRef, consumer: PartRef, path: Path) -> bool:
        """Whether another task may be learnt from the training set of a cell; notes where that has pairs of the cell's.

        `task`: as it is solved on the images of that training set.
        """
        if task.derived_from is not None or task.name == consumer.name:
            return True
        what = f"the network behind the prior would learn {task.name} from the pairs of {consumer.name}"
        self._resolver.report(path, what, "give it a data set of its own: dataset: NAME beside task")
        return False

    def _without_degradation(self, task: PartRef) -> PartRef:
        """A task whose inputs come with the data set. All of its options were those of its degradation."""
        paired = task.model_copy(update={"derived_from": None, "options": {}})
        paired = self._paired.setdefault(canonical_json(paired.identity()), paired)
        labels = self._resolver.labels
        if id(task) in labels:
            labels.setdefault(id(paired), labels[id(task)])
        return paired

    def tests(
        self, task: TaskDraft, datasets: Sequence[Placed], options: Sequence[Options], *, used: bool = False
    ) -> tuple[TestSet, ...]:
        """Every test split under every one of the options; those that bring their degraded images once, as they are.

        What is wrong is noted and left out. `used`: as in `seen`.
        """
        found: dict[int, TestSet] = {}
        solved = [(dataset, seen) for dataset, at in datasets if (seen := self.seen(task, dataset, at, used=used))]
        acting = any(seen.derived_from is not None for _, seen in solved)
        for dataset, seen in solved:
            first: dict[int, int] = {}
            for place, (given, path) in enumerate(AS_IT_IS if acting and seen.derived_from is None else options):
                test = self._test(task, seen, dataset, given, path)
                if test is None:
                    continue
                if first.setdefault(id(test.task), place) != place:
                    what = f"these test options are given twice: item {first[id(test.task)]} means the same"
                    self._resolver.report(path, what, "remove one")
                found[id(test)] = test
        return tuple(found.values())

    def _test(
        self, task: TaskDraft, seen: PartRef, dataset: PartRef, given: Mapping[str, Any], path: Path
    ) -> TestSet | None:
        if given and seen.derived_from is None:
            what = f"test options do nothing on {self._resolver.called(dataset)}, which brings its degraded images"
            self._resolver.report(path, what, "remove them, or test the data set in a block of its own")
            return None
        solved = self._conditioned(task, given, path) if given else seen
        if solved is None or not self._is_single(task, solved, given, path):
            return None
        condition = {name: solved.options[name] for name in given}
        key = id(dataset), id(solved), canonical_json(condition)
        if key not in self._tests:
            self._tests[key] = TestSet(dataset=dataset, task=solved, condition=condition)
        return self._tests[key]

    def _conditioned(self, task: TaskDraft, given: Mapping[str, Any], path: Path) -> PartRef | None:
        """The task with other options; None after a mistake in them."""
        wrong = [name for name in _NOT_OPTIONS if name in given]
        for name in wrong:
            self._resolver.report((*path, name), f"{name} is no option of the task {task.ref.name}", "remove it")
        if wrong:
            return None
        spec = PartMapping.model_validate({"name": task.spec.name, **task.spec.options, **given})
        return self._resolver.part("task", spec, path)

    def _is_single(self, task: TaskDraft, solved: PartRef, given: Mapping[str, Any], path: Path) -> bool:
        """Whether test images have one value where training may have a range; notes where they do not."""
        ranges = drawn_ranges(solved, self._resolver.registry)
        for name, (low, high) in ranges.items():
            between = [round((low + high) / 2, 3), high]
            example = ", ".join(dict.fromkeys(f"{{{name}: {short(value)}}}" for value in between))
            if low == high:
                place = path if name in given else task.path
                self._resolver.report((*place, name), f"the range of {name} is one value", f"{name}: {short(low)}")
            elif name in given:
                what = f"a test image has one {name}, not a range"
                self._resolver.report((*path, name), what, f"test_options: [{example}]")
            else:
                what = f"{name} {short([low, high])} is drawn in training alone, and tests need single values"
                self._resolver.report((*task.path, name), what, f"beside the task write test_options: [{example}]")
        return not ranges


def drawn_ranges(task: PartRef | None, registry: Registry) -> dict[str, tuple[float, float]]:
    """Option → (least, most) of what is drawn anew at every step of the training."""
    source = task.derived_from if task else None
    if source is None or not source.drawn:
        return {}
    varies = declaration(registry, "degradation", source.name).traits.varies
    values = {name: source.options.get(name) for name in varies}
    return {name: (value[0], value[1]) for name, value in values.items() if isinstance(value, list | tuple)}
