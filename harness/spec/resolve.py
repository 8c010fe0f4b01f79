"""Names in a suite → references with versions, defaults and digests. Mistakes are gathered, not raised."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.api.asking import declared_splits, fingerprint_of, opened
from harness.api.declaration import Declaration, declaration
from harness.api.reference import PartRef
from harness.api.task import TaskTraits
from harness.api.traits import LossUse
from harness.cells.recipe import LossTerm
from harness.cells.suite import DATASET_DIGITS
from harness.core.errors import DataError, HarnessError, Problem, SpecErrors, UnknownName
from harness.core.identity import canonical_json, digest
from harness.core.registry import Registry
from harness.core.source import place_of
from harness.core.wording import marked, said
from harness.core.yaml import Path
from harness.recipes.mapping import BackboneMapping, PartMapping
from harness.spec.drafts import Layer, PriorDraft, SourceDraft, TaskDraft
from harness.spec.example_marks import WORD
from harness.spec.options import Filled, fill
from harness.spec.schema import CellMapping, Prior, SuiteFile
from harness.spec.unread import Unread
from harness.weights.catalogue import Checkpoint, find, known, own
from harness.weights.files import found_sha256, needed_files, weights_digest

PRIOR: TypeAdapter[PartMapping] = TypeAdapter(Prior)
CELL: TypeAdapter[CellMapping] = TypeAdapter(CellMapping)

LOAD_ERRORS = (HarnessError, ValueError, TypeError, AttributeError, NameError, ImportError, SyntaxError, OSError)
"""What a part may raise while it is imported or made: a plug-in's mistake, or options that it refuses."""


class Resolver:
    """Resolves the parts of one suite. Equal parts come out as the same object; a failed one as None.

    `labels` holds the labels that the file gives, by the `id()` of what they stand for. `unread`: the data
    sets that this machine cannot open.
    """

    def __init__(
        self, suite: SuiteFile, registry: Registry, problems: list[Problem], unread: Unread | None = None
    ) -> None:
        self.suite, self.registry, self.problems = suite, registry, problems
        self.unread = unread or Unread()
        self.labels: dict[int, str] = {}
        self._known: dict[str, Any] = {}
        self._equal: dict[str, Any] = {}
        self._splits: dict[str, Sequence[str]] = {}
        self._labelled_sets: dict[str, PartRef] = {}

    def report(self, path: Path, what: str, hint: str = "") -> None:
        """Notes a mistake at a path of the models. Messages show the file's path, which also counts wrong items."""
        self.problems.append(self.suite.problem(path, what, hint))

    def part(self, kind: str, spec: PartMapping, path: Path) -> PartRef | None:
        """Any part that refers to no other."""

        def make() -> PartRef | None:
            found = self._filled(kind, spec, path)
            if found is None:
                return None
            declared, filled = found
            if filled.references:
                self.report(path, f"a {kind} cannot refer to other parts: {', '.join(filled.references)}")
                return None
            return self._made(kind, spec, declared, filled, path)

        ref: PartRef | None = self._once(kind, spec, path, make, lambda ref: ref.identity())
        return ref

    def backbone(self, spec: BackboneMapping, path: Path) -> PartRef | None:
        """A backbone; the options of published weights lie below those of the suite."""
        weights = spec.weights
        if weights is None:
            return self.part("backbone", spec, path)

        def make() -> PartRef | None:
            checkpoint = self._checkpoint(weights, spec.name, path)
            if checkpoint is None:
                return None
            options = json.loads(canonical_json(checkpoint.options)) | spec.options
            ref = self.part("backbone", PartMapping.model_validate({"name": spec.name, **options}), path)
            return ref and ref.model_copy(update={"weights": weights, "digest": found_sha256(str(checkpoint.path))})

        ref: PartRef | None = self._once(f"backbone {weights}", spec, path, make, lambda ref: ref.identity())
        return ref

    def _checkpoint(self, weights: str, backbone: str, path: Path) -> Checkpoint | None:
        """Weights by id, which must be of that backbone."""
        try:
            checkpoint = find(weights)
        except UnknownName as error:
            self.report((*path, "weights"), error.what, error.hint)
            return None
        if checkpoint.part == f"backbone {backbone}":
            return checkpoint
        fitting = [other.id for other in [*known(), *own()] if other.part == f"backbone {backbone}"]
        what = f"{weights} is for {checkpoint.taker}, not for backbone {backbone}"
        self.report((*path, "weights"), what, ", ".join(fitting) and f"one of {', '.join(fitting)}")
        return None

    def dataset(self, spec: PartMapping, path: Path, split: str | None) -> PartRef | None:
        """A data set that must have a split (None: any), which the library's copy of one of the field may lack."""
        ref = self.part("dataset", spec, path)
        splits = self._splits.get(canonical_json(ref.identity())) if ref else None
        if ref is not None and split is not None and splits is not None and split not in splits:
            self.report(path, f"data set {self.called(ref)} has no split {split!r}", f"it has {', '.join(splits)}")
            return None
        return ref

    def called(self, ref: PartRef) -> str:
        """What messages call a part: the label that the suite gives it, else its name."""
        return self.labels.get(id(ref), ref.name)

    def losses(self, declared: Sequence[LossUse], owner: tuple[str, str] | None = None) -> tuple[LossTerm, ...]:
        """Losses that a part declares. Mistakes in them are reported where `owner`, its (kind, name), is defined."""
        terms = []
        before = len(self.problems)
        for use in declared:
            part = self.part("loss", PartMapping.model_validate({"name": use.name, **use.options}), ())
            if part is not None:
                terms.append(LossTerm(part=part, weight=use.weight, refined_weight=use.refined_weight))
        if owner is not None and len(self.problems) > before:
            target = self.registry.get(*owner).target
            path = f"{target.partition(':')[2]}.traits.losses"
            for index, problem in enumerate(self.problems[before:], before):
                self.problems[index] = Problem(*place_of(target), 1, path, problem.what, problem.hint)
        return tuple(terms)

    def prior(self, spec: PartMapping, path: Path) -> PriorDraft | None:
        """A prior, with the prior that it is made of and the cell that it needs."""

        def make() -> PriorDraft | None:
            found = self._filled("prior", spec, path)
            if found is None:
                return None
            declared, filled = found
            behind, source, sound = None, None, True
            for option, (refers, value) in filled.references.items():
                if refers == "PriorRef":
                    mapping = self._shaped(PRIOR, value, (*path, option))
                    behind = mapping and self.prior(mapping, (*path, option))
                    sound &= behind is not None
                else:
                    mapping = self._shaped(CELL, value, (*path, option))
                    source = mapping and self._source(mapping, (*path, option))
                    sound &= source is not None
            if source is not None and behind is not None and behind.any_source is not None:
                self.report(path, f"the prior {spec.name} needs two cells", "name a prior that needs none inside it")
                return None
            ref = self._made("prior", spec, declared, filled, path) if sound else None
            return PriorDraft(ref, behind, source) if ref else None

        draft: PriorDraft | None = self._once("prior", spec, path, make, lambda draft: draft.content())
        return draft

    def _once(
        self, kind: str, spec: PartMapping, path: Path, make: Callable[[], Any], content: Callable[[Any], Any]
    ) -> Any:
        """Makes an object once per text and folder; equal objects are the same one. Notes its label."""
        key = kind + canonical_json([self._folder(path), spec.name, spec.options])
        if key not in self._known:
            built = make()
            if built is None:
                return None
            self._known[key] = self._equal.setdefault(kind + canonical_json(content(built)), built)
        found = self._known[key]
        if spec.label is not None:
            self._label(kind.partition(" ")[0], found, spec.label, path)
        return found

    def _label(self, kind: str, found: Any, label: str, path: Path) -> None:
        """Notes how tables call a part. One thing has one label; two data sets never share theirs."""
        known = self.labels.setdefault(id(found), label)
        if known != label:
            what = f"the same {kind} is called {known!r} elsewhere in this suite, and {label!r} here"
            self.report((*path, "label"), what, "give it one label, or other options")
        if kind == "dataset":
            other = self._labelled_sets.setdefault(label, found)
            if other is not found:
                what = f"two data sets are called {label!r}: {other.name} and {found.name}"
                if other.name == found.name:
                    what = f"two data sets are called {label!r}: {found.name} with other options"
                self.report((*path, "label"), what, "give one of them another label")

    def dataset_labels(self) -> dict[str, str]:
        """The labels of data sets, by digests as `ResolvedSuite.dataset_labels` has them. A label hides no example."""
        labels = sorted(self._labelled_sets.items())
        marks = {label: [WORD] if ref.is_example else [] for label, ref in labels}
        return {digest(ref.identity(), DATASET_DIGITS): marked(label, marks[label]) for label, ref in labels}

    def _source(self, spec: CellMapping, path: Path) -> SourceDraft | None:
        solved = self.part("task", spec.task, (*path, "task"))
        backbone = self.backbone(spec.backbone, (*path, "backbone"))
        split = None if spec.backbone.weights else "train"
        dataset = self.dataset(spec.dataset, (*path, "dataset"), split) if spec.dataset else None
        if solved is None or backbone is None or (spec.dataset and dataset is None):
            return None
        task = TaskDraft(solved, spec.task, (*path, "task"))
        recipe = Layer(spec.recipe, (*path, "recipe")) if spec.recipe else None
        return SourceDraft(task, backbone, dataset, spec.seed, recipe, (spec.backbone, (*path, "backbone")))

    def _shaped(self, adapter: TypeAdapter[Any], value: Any, path: Path) -> Any:
        """An option's value as a mapping of the schema; None, with the mistakes noted, when it has another shape."""
        try:
            return adapter.validate_python(value, strict=True)
        except ValidationError as failure:
            known = CellMapping.model_fields if adapter is CELL else ()
            for error in failure.errors(include_url=False):
                self.report((*path, *error["loc"]), *said(error, list(known) if len(error["loc"]) == 1 else ()))
            return None

    def _filled(self, kind: str, spec: PartMapping, path: Path) -> tuple[Declaration[Any], Filled] | None:
        try:
            declared = declaration(self.registry, kind, spec.name)
        except SpecErrors as error:
            self.problems.extend(error.problems)
            return None
        except UnknownName as error:
            self.report((*path, "name"), error.what, error.hint)
            return None
        except (ImportError, ValueError, SyntaxError, OSError) as error:
            self.report((*path, "name"), f"the {kind} {spec.name} cannot be read: {error}")
            return None
        filled = fill(declared.options, spec.options, f"{kind} {spec.name}", declared.traits.rules)
        for mistake in filled.mistakes:
            if mistake.unknown:
                owner = self.suite.tree.nearest(path)
                self.problems.append(owner.problem(mistake.what, mistake.hint, key=str(mistake.path[0])))
            else:
                self.report((*path, *mistake.path), mistake.what, mistake.hint)
        return None if filled.mistakes else (declared, filled)

    def _made(
        self, kind: str, spec: PartMapping, declared: Declaration[Any], filled: Filled, path: Path
    ) -> PartRef | None:
        """The reference, with the digest of what stands behind it: a data set's images, a part's weights."""
        files = {option: self._absolute(given, (*path, option)) for option, given in filled.files.items()}
        ref = PartRef(name=spec.name, version=declared.version, options=filled.values, files=files)
        given = ref.arguments
        try:
            needed = needed_files(declared.traits, given, f"{kind} {spec.name}")
            if kind == "task":
                return self._task(ref, declared.traits, path)
            if kind == "dataset" and declared.traits.source is not None and given.get("root") is not None:
                what = f"a suite names {spec.name} alone: it is prepared once for all suites, and read from the library"
                self.report((*path, "root"), what, f"bench data prepare {spec.name} --from {given['root']}")
                return None
            if kind == "dataset":
                return self._dataset(ref, given, spec, path)
            if kind == "degradation":
                return ref.model_copy(update={"drawn": declared.traits.acts == "drawn"})
        except LOAD_ERRORS as error:
            what, hint = (error.what, error.hint) if isinstance(error, HarnessError) else (str(error), "")
            self.report(path, f"the {kind} {spec.name} cannot be made: {what}", hint)
            return None
        return ref.model_copy(update={"digest": weights_digest(needed)}) if needed else ref

    def _task(self, ref: PartRef, traits: TaskTraits, path: Path) -> PartRef | None:
        """A task with its degradation, which gets the options that the task sets; without one where it has none."""
        if traits.degradation is None:
            return ref
        settings = {"name": traits.degradation, **traits.settings, **ref.options}
        behind = self.part("degradation", PartMapping.model_validate(settings), path)
        for name in declaration(self.registry, "degradation", traits.degradation).traits.varies if behind else ():
            value = behind.options.get(name) if behind else None
            if isinstance(value, list) and value[0] > value[1]:
                what = f"{name} begins at {value[0]:g}, above its end {value[1]:g}"
                self.report((*path, name), what, f"{name}: [{value[1]:g}, {value[0]:g}]")
                return None
        return ref.model_copy(update={"derived_from": behind}) if behind else None

    def _absolute(self, file: str, path: Path) -> str:
        """A path of the suite, which is relative to the file that holds it."""
        return os.path.normpath(os.path.join(self._folder(path), os.path.expanduser(file)))

    def _folder(self, path: Path) -> str:
        """Where the file lies that holds a node; the working directory for `--set`."""
        return os.path.dirname(os.path.abspath(self.suite.tree.nearest(path).place.file))

    def _dataset(self, ref: PartRef, given: Mapping[str, Any], spec: PartMapping, path: Path) -> PartRef:
        """Missing files, and a plug-in that fails, leave a stand-in: planning blocks the cells and says why."""
        try:
            dataset = opened(self.registry, ref.name, given)
            read = ref.model_copy(update={"digest": fingerprint_of(dataset)})
            self._splits[canonical_json(read.identity())] = declared_splits(dataset)
        except HarnessError as error:
            if not isinstance(error, DataError) and error.kind != "plugin":
                raise
            self.unread.note(error, spec.label or ref.name, self.suite, path)
            return ref.model_copy(update={"digest": self.unread.digests.get(ref.unread, ref.unread)})
        return read
