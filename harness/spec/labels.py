"""How tables call cells: short names, made unique. Labels depend on the whole suite and never on identity's side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from harness.api.reference import PartRef
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.core.signature import REQUIRED
from harness.spec.cell import Cell
from harness.spec.checks import placements
from harness.spec.drafts import CellDraft, PriorDraft, VariantDraft
from harness.spec.explain import flatten
from harness.spec.resolved import Labels
from harness.spec.wording import short


class Names:
    """Labels of one suite's parts: the file's own label, or the name, with options where two parts share a name."""

    def __init__(self, registry: Registry, given: Mapping[int, str], drafts: Iterable[CellDraft]) -> None:
        self._registry, self._given = registry, given
        self._labels: dict[int, str] = {}
        self._seen: dict[tuple[str, str], set[str]] = defaultdict(set)
        parts: dict[int, tuple[str, PartRef]] = {}
        priors: dict[int, PriorDraft] = {}
        for draft in drafts:
            for kind, ref in (
                ("task", draft.cell.task),
                ("backbone", draft.cell.backbone),
                ("refiner", draft.variant.refiner),
            ):
                if ref is not None:
                    parts[id(ref)] = kind, ref
            prior = draft.variant.prior
            while prior is not None:
                priors[id(prior)] = prior
                prior = prior.of
        for kind, ref in parts.values():
            self._seen[kind, ref.name].add(canonical_json(ref.identity()))
        for prior in priors.values():
            self._seen["prior", self._prior_stem(prior)].add(canonical_json(prior.content()))

    def part(self, kind: str, ref: PartRef) -> str:
        """`nafnet`, or `nafnet(width=8)` when the suite has another nafnet."""
        if id(ref) not in self._labels:
            options = self._unusual(kind, ref) if len(self._seen[kind, ref.name]) > 1 else []
            declared = self._registry.signature(kind, ref.name).declared
            marks = ["reimplemented"] if declared.get("reimplemented") else []
            marks += [ref.weights] if ref.weights else []
            mark = f" ({', '.join(marks)})" if marks else ""
            self._labels[id(ref)] = (self._given.get(id(ref)) or _call(ref.name, options)) + mark
        return self._labels[id(ref)]

    def variant(self, draft: VariantDraft) -> str:
        """`base`, `ptg_rm+shuffled(nss)`, `ptg_rm+nss from_base`, …"""
        if draft.label:
            return draft.label
        if draft.refiner is None:
            return "base"
        prior = f"+{self._prior(draft.prior)}" if draft.prior else ""
        words = [self.part("refiner", draft.refiner) + prior]
        usual = placements(self._registry.signature("refiner", draft.refiner.name).declared)[0]
        words += [f"@{draft.placement}"] if draft.placement != usual else []
        words += [f"prior:{draft.features}"] if draft.features != "tile" else []
        words += [draft.regime] if draft.regime != "joint" else []
        return " ".join(words)

    def _prior_stem(self, draft: PriorDraft) -> str:
        return _call(draft.ref.name, [self._prior_stem(draft.of)] if draft.of else [])

    def _prior(self, draft: PriorDraft) -> str:
        if id(draft) in self._given:
            return self._given[id(draft)]
        inner = [self._prior(draft.of)] if draft.of else []
        if len(self._seen["prior", self._prior_stem(draft)]) > 1:
            inner += self._unusual("prior", draft.ref)
            if draft.source is not None:
                inner.append(f"{self.part('task', draft.source.task)}/{self.part('backbone', draft.source.backbone)}")
        return _call(draft.ref.name, inner)

    def _unusual(self, kind: str, ref: PartRef) -> list[str]:
        """Options that are not the part's defaults, as `width=8`."""
        defaults = {name: option.default for name, option in self._registry.signature(kind, ref.name).options.items()}
        return [
            f"{name}={short(value)}"
            for name, value in ref.options.items()
            if defaults[name] is REQUIRED or canonical_json(value) != canonical_json(_like(value, defaults[name]))
        ]


def _like(value: Any, default: Any) -> Any:
    """The default as JSON would show it after validation: a whole number for a float option is a float."""
    return float(default) if isinstance(value, float) and isinstance(default, int) else default


def _call(name: str, inner: list[str]) -> str:
    return f"{name}({', '.join(inner)})" if inner else name


def label_cells(drafts: list[CellDraft], registry: Registry, given: Mapping[int, str]) -> list[Labels]:
    """One label a cell, in the same order; only seeds of one setting share theirs."""
    names = Names(registry, given, drafts)
    labels = []
    for draft in drafts:
        cell = draft.cell
        task = names.part("task", cell.task)
        if cell.backbone is None:
            labels.append(Labels(task=task, backbone="input", variant="input"))
        else:
            backbone = names.part("backbone", cell.backbone)
            labels.append(Labels(task=task, backbone=backbone, variant=names.variant(draft.variant)))
    return _unique(drafts, labels, given)


def _unique(drafts: list[CellDraft], labels: list[Labels], given: Mapping[int, str]) -> list[Labels]:
    """Where settings that differ got one label, says in the variant's label what differs."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        groups[label.model_dump_json()].append(index)
    for indices in groups.values():
        settings = {index: _setting(drafts[index].cell, given) for index in indices}
        kinds = {canonical_json(setting): setting for setting in settings.values()}
        if len(kinds) < 2:
            continue
        fields = list(dict.fromkeys(field for kind in kinds.values() for field in kind))
        differing = [field for field in fields if len({str(kind.get(field)) for kind in kinds.values()}) > 1]
        main = [field for field in differing if not field.startswith(("base.", "prior_source."))] or differing
        main = [field for field in main if not field.endswith("digest")] or main
        listed = {canonical_json(settings[index]) for index in indices if drafts[index].listed}
        for index in indices:
            setting = settings[index]
            if len(listed) == 1 and canonical_json(setting) in listed:
                continue
            words = [f"{field.rpartition('.')[2]}={short(setting.get(field, '—'))}" for field in main]
            variant = f"{labels[index].variant} [{', '.join(words)}]"
            labels[index] = labels[index].model_copy(update={"variant": variant})
    return labels


def _setting(cell: Cell, given: Mapping[int, str]) -> dict[str, Any]:
    """What one row of a table has in common: everything but seeds, and the digests that only follow from seeds."""
    seeds = ("seed", "base.seed", "prior_source.seed")
    fields = {field: value for field, value in flatten(cell).items() if field not in seeds}
    if id(cell.recipe) in given:
        fields = {field: value for field, value in fields.items() if not field.startswith("recipe.")}
        fields["recipe.label"] = given[id(cell.recipe)]
    return fields
