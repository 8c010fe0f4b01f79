"""Names in a suite → references with versions, defaults and digests. Mistakes are gathered, not raised."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.api.parts import Dataset, WeightFile
from harness.api.reference import PartRef
from harness.core.errors import DataError, HarnessError, Problem, UnknownName
from harness.core.identity import canonical_json, digest, file_sha256
from harness.core.registry import Registry
from harness.core.signature import Signature
from harness.core.yaml import Path
from harness.spec.cell import LossTerm
from harness.spec.checkpoints import Checkpoint, find, known, own
from harness.spec.drafts import Layer, PriorDraft, SourceDraft
from harness.spec.options import Filled, fill
from harness.spec.schema import BackboneMapping, CellMapping, PartMapping, Prior, SuiteFile
from harness.spec.wording import said

PRIOR: TypeAdapter[PartMapping] = TypeAdapter(Prior)
CELL: TypeAdapter[CellMapping] = TypeAdapter(CellMapping)

LOAD_ERRORS = (HarnessError, ValueError, TypeError, AttributeError, NameError, ImportError, SyntaxError, OSError)
"""What a part may raise while it is imported or made: a guest's mistake, or options that it refuses."""


class Resolver:
    """Resolves the parts of one suite. Equal parts come out as the same object; a failed one as None.

    `labels` holds the labels that the file gives, by the `id()` of what they stand for.
    """

    def __init__(self, suite: SuiteFile, registry: Registry, problems: list[Problem]) -> None:
        self.suite, self.registry, self.problems = suite, registry, problems
        self.labels: dict[int, str] = {}
        self._known: dict[str, Any] = {}
        self._equal: dict[str, Any] = {}
        self._splits: dict[str, Sequence[str]] = {}

    def report(self, path: Path, what: str, hint: str = "") -> None:
        """Notes a mistake at a path of the models; the file's own path, with wrong items counted, is in its tree."""
        self.problems.append(self.suite.tree.nearest(path).problem(what, hint))

    def part(self, kind: str, spec: PartMapping, path: Path) -> PartRef | None:
        """Any part that refers to no other."""

        def make() -> PartRef | None:
            found = self._filled(kind, spec, path)
            if found is None:
                return None
            signature, filled = found
            if filled.references:
                self.report(path, f"a {kind} cannot refer to other parts: {', '.join(filled.references)}")
                return None
            return self._made(kind, spec, signature, filled, path)

        ref: PartRef | None = self._once(kind, spec, path, make, lambda made: made.identity())
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
            return ref and ref.model_copy(update={"weights": weights, "digest": _sha256_of(str(checkpoint.path))})

        ref: PartRef | None = self._once(f"backbone {weights}", spec, path, make, lambda made: made.identity())
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

    def dataset(self, spec: PartMapping, path: Path, split: str) -> PartRef | None:
        """A data set that must have a split."""
        ref = self.part("dataset", spec, path)
        splits = self._splits.get(canonical_json(ref.identity()), (split,)) if ref else (split,)
        if ref is not None and split not in splits:
            self.report(path, f"data set {ref.name} has no split {split!r}", f"it has {', '.join(splits)}")
            return None
        return ref

    def losses(self, declared: Sequence[Any]) -> tuple[LossTerm, ...]:
        """Losses that a part declares: (name, weight) or (name, weight, options). Mistakes in them are the part's."""
        terms = []
        for name, weight, *options in declared:
            spec = PartMapping.model_validate({"name": name, **(options[0] if options else {})})
            part = self.part("loss", spec, ())
            if part is not None:
                terms.append(LossTerm(part=part, weight=weight))
        return tuple(terms)

    def prior(self, spec: PartMapping, path: Path) -> PriorDraft | None:
        """A prior, with the prior that it is made of and the cell that it needs."""

        def make() -> PriorDraft | None:
            found = self._filled("prior", spec, path)
            if found is None:
                return None
            signature, filled = found
            of, source, sound = None, None, True
            for option, (refers, value) in filled.references.items():
                if refers == "PriorRef":
                    mapping = self._shaped(PRIOR, value, (*path, option))
                    of = mapping and self.prior(mapping, (*path, option))
                    sound &= of is not None
                else:
                    mapping = self._shaped(CELL, value, (*path, option))
                    source = mapping and self._source(mapping, (*path, option))
                    sound &= source is not None
            if source is not None and of is not None and of.any_source is not None:
                self.report(path, f"the prior {spec.name} needs two cells", "one cell a prior")
                return None
            ref = self._made("prior", spec, signature, filled, path) if sound else None
            return PriorDraft(ref, of, source) if ref else None

        draft: PriorDraft | None = self._once("prior", spec, path, make, lambda made: made.content())
        return draft

    def _once(
        self, kind: str, spec: PartMapping, path: Path, make: Callable[[], Any], content: Callable[[Any], Any]
    ) -> Any:
        """What was made for the same text in the same folder before, or what equals it; its label is noted for it."""
        key = kind + canonical_json([self._folder(path), spec.name, spec.options])
        if key not in self._known:
            made = make()
            if made is None:
                return None
            self._known[key] = self._equal.setdefault(kind + canonical_json(content(made)), made)
        found = self._known[key]
        if spec.label is not None:
            self.labels.setdefault(id(found), spec.label)
        return found

    def _source(self, spec: CellMapping, path: Path) -> SourceDraft | None:
        task = self.part("task", spec.task, (*path, "task"))
        backbone = self.backbone(spec.backbone, (*path, "backbone"))
        dataset = self.dataset(spec.dataset, (*path, "dataset"), "train") if spec.dataset else None
        if task is None or backbone is None or (spec.dataset and dataset is None):
            return None
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

    def _filled(self, kind: str, spec: PartMapping, path: Path) -> tuple[Signature, Filled] | None:
        try:
            signature = self.registry.signature(kind, spec.name)
        except UnknownName as error:
            self.report((*path, "name"), error.what, error.hint)
            return None
        except (ImportError, AttributeError, ValueError, SyntaxError, OSError) as error:
            self.report((*path, "name"), f"the {kind} {spec.name} cannot be read: {error}")
            return None
        filled = fill(signature, spec.options, f"{kind} {spec.name}")
        for mistake in filled.mistakes:
            at = self.suite.tree.nearest((*path, *mistake.path))
            if mistake.unknown:
                owner = self.suite.tree.nearest(path)
                self.problems.append(owner.problem(mistake.what, mistake.hint, key=str(mistake.path[0])))
            else:
                self.problems.append(at.problem(mistake.what, mistake.hint))
        return None if filled.mistakes else (signature, filled)

    def _made(self, kind: str, spec: PartMapping, signature: Signature, filled: Filled, path: Path) -> PartRef | None:
        """The reference; tasks and data sets are made to learn what stands behind them."""
        files = {option: self._absolute(given, (*path, option)) for option, given in filled.files.items()}
        ref = PartRef(name=spec.name, version=signature.version, options=filled.values, files=files)
        given = {option: _arguments(value) for option, value in ref.arguments.items()}
        try:
            if kind == "task":
                behind = self.registry.load(kind, spec.name)(**given).degradation
                of = behind and self._degradation(behind, path)
                return None if behind and of is None else ref.model_copy(update={"of": of})
            if kind == "dataset":
                return self._dataset(ref, self.registry.load(kind, spec.name)(**given))
            if signature.needs_weights:
                files = self.registry.load(kind, spec.name).weights(**given)
                return ref.model_copy(update={"digest": weights_digest(files)})
        except LOAD_ERRORS as error:
            what, hint = (error.what, error.hint) if isinstance(error, HarnessError) else (str(error), "")
            self.report(path, f"the {kind} {spec.name} cannot be made: {what}", hint)
            return None
        return ref

    def _absolute(self, file: str, path: Path) -> str:
        """A path of the suite, which is relative to the file that holds it."""
        return os.path.normpath(os.path.join(self._folder(path), os.path.expanduser(file)))

    def _folder(self, path: Path) -> str:
        """Where the file lies that holds a node; the working directory for `--set`."""
        return os.path.dirname(os.path.abspath(self.suite.tree.nearest(path).place.file))

    def _degradation(self, behind: PartRef, path: Path) -> PartRef | None:
        spec = PartMapping.model_validate({"name": behind.name, **behind.options})
        return self.part("degradation", spec, path)

    def _dataset(self, ref: PartRef, dataset: Dataset) -> PartRef:
        """Missing files leave the digest out: planning blocks the cell and says how to get them."""
        try:
            ref = ref.model_copy(update={"digest": dataset.fingerprint()})
        except DataError:
            return ref
        self._splits[canonical_json(ref.identity())] = tuple(dataset.splits())
        return ref


def _arguments(value: Any) -> Any:
    """JSON's lists as the tuples that a part's annotation means."""
    return tuple(map(_arguments, value)) if isinstance(value, list) else value


def weights_digest(files: Sequence[WeightFile]) -> str | None:
    """Digest of weight files: the known or the found SHA-256, of several their digest; None when one is missing."""
    found = [file.sha256 or _sha256_of(file.path) for file in files]
    if not found or None in found:
        return None
    return found[0] if len(found) == 1 else digest(found, 64)


def _sha256_of(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _file_sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _file_sha256(path: str, size: int, changed: int) -> str:
    """Hashed once a process, unless it changes."""
    return file_sha256(path)
