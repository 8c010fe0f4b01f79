"""Labels, by which tables call cells: short names, unique within the suite. No label is part of an identity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.api.backbone import BackboneTraits
from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.explain import flatten
from harness.cells.suite import Labels
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.core.source import REQUIRED, Option
from harness.core.wording import short
from harness.spec.drafts import CellDraft, PriorDraft, VariantDraft
from harness.spec.schema import CONTINUED


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
                prior = prior.derived_from
        for kind, ref in parts.values():
            self._seen[kind, ref.name].add(canonical_json(ref.identity()))
        for prior in priors.values():
            self._seen["prior", self._prior_stem(prior)].add(canonical_json(prior.content()))

    def part(self, kind: str, ref: PartRef) -> str:
        """`nafnet`, or `nafnet(width=8)` when the suite has another nafnet; a control always has its options."""
        if id(ref) not in self._labels:
            told = len(self._seen[kind, ref.name]) > 1 or (kind == "refiner" and self._is_control(ref))
            options = self._unusual(kind, ref) if told else []
            marks = self._marks(ref) if kind == "backbone" else []
            marks += [ref.weights] if ref.weights else []
            mark = f" ({', '.join(marks)})" if marks else ""
            self._labels[id(ref)] = (self._given.get(id(ref)) or call(ref.name, options)) + mark
        return self._labels[id(ref)]

    def _is_control(self, refiner: PartRef) -> bool:
        found = declaration(self._registry, "refiner", refiner.name)
        when, defaults = found.traits.control, {name: option.default for name, option in found.options.items()}
        return when is not None and when.holds(defaults | refiner.options)

    def _marks(self, backbone: PartRef) -> list[str]:
        """Why a backbone is not compared with others on equal terms; every table says it."""
        found = declaration(self._registry, "backbone", backbone.name)
        options = {name: option.default for name, option in found.options.items()} | backbone.options
        marks = ["reimplemented"] if found.traits.reimplemented else []
        told = found.traits.reads_truth_at_test
        return [*marks, "reads the truth"] if told is not None and told.holds(options) else marks

    def task(self, ref: PartRef) -> str:
        """`gaussian_denoise`, or `low_light (synthetic)` where the inputs imitate real photographs."""
        behind = ref.derived_from
        made = behind is not None and declaration(self._registry, "degradation", behind.name).traits.synthetic
        return f"{self.part('task', ref)} (synthetic)" if made else self.part("task", ref)

    def variant(self, draft: VariantDraft) -> str:
        """`base`, `ptg_rm+shuffled(nss)`, `ptg_rm+nss from_base`, …"""
        if draft.label:
            return draft.label
        if draft.refiner is None:
            return "base" if draft.regime == "joint" else CONTINUED
        prior = f"+{self._prior(draft.prior)}" if draft.prior else ""
        words = [self.part("refiner", draft.refiner) + prior]
        usual = declaration(self._registry, "refiner", draft.refiner.name).traits.placements[0]
        words += [f"@{draft.placement}"] if draft.placement != usual else []
        words += [f"prior:{draft.features}"] if draft.features != "tile" else []
        words += [draft.regime] if draft.regime != "joint" else []
        return " ".join(words)

    def _prior_stem(self, draft: PriorDraft) -> str:
        return call(draft.ref.name, [self._prior_stem(draft.derived_from)] if draft.derived_from else [])

    def _prior(self, draft: PriorDraft) -> str:
        if id(draft) in self._given:
            return self._given[id(draft)]
        inner = [self._prior(draft.derived_from)] if draft.derived_from else []
        if len(self._seen["prior", self._prior_stem(draft)]) > 1:
            inner += self._unusual("prior", draft.ref)
            if draft.source is not None:
                inner.append(f"{self.part('task', draft.source.task)}/{self.part('backbone', draft.source.backbone)}")
        return call(draft.ref.name, inner)

    def _unusual(self, kind: str, ref: PartRef) -> list[str]:
        """Options that are not the part's defaults, as `width=8`."""
        declared = declaration(self._registry, kind, ref.name)
        shared = declared.traits.from_task if isinstance(declared.traits, BackboneTraits) else ()
        # The task's own label says what the backbone shares with it.
        said = {name: value for name, value in ref.options.items() if name not in shared or value is None}
        return unusual_options(declared.options, ref.model_copy(update={"options": said}))


def unusual_options(options: Mapping[str, Option], ref: PartRef) -> list[str]:
    """A part's options that are not its defaults, as `width=8`."""
    defaults = {name: option.default for name, option in options.items()}
    return [
        f"{name}={short(value)}"
        for name, value in ref.options.items()
        if defaults[name] is REQUIRED or canonical_json(value) != canonical_json(_like(value, defaults[name]))
    ]


def _like(value: Any, default: Any) -> Any:
    """The default as JSON would show it after validation: a whole number for a float option is a float."""
    return float(default) if isinstance(value, float) and isinstance(default, int) else default


def call(name: str, inner: list[str]) -> str:
    """`name`, or `name(a, b)`."""
    return f"{name}({', '.join(inner)})" if inner else name


def label_cells(drafts: list[CellDraft], registry: Registry, given: Mapping[int, str]) -> list[Labels]:
    """One label per cell, in the same order; only the seeds of one setting share theirs."""
    names = Names(registry, given, drafts)
    labels = []
    for draft in drafts:
        cell = draft.cell
        task = names.task(cell.task)
        if cell.backbone is None:
            labels.append(Labels(task=task, backbone="input", variant="input"))
        else:
            backbone = names.part("backbone", cell.backbone)
            labels.append(Labels(task=task, backbone=backbone, variant=names.variant(draft.variant)))
    return _unique(drafts, labels, given)


def _unique(drafts: list[CellDraft], labels: list[Labels], given: Mapping[int, str]) -> list[Labels]:
    """Where different settings have the same label, appends to the variant's label what differs."""
    groups: dict[Labels, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        groups[label].append(index)
    told = list(labels)
    for label, indices in groups.items():
        settings = {index: _setting(drafts[index].cell, given) for index in indices}
        names = {index: canonical_json(setting) for index, setting in settings.items()}
        if len(set(names.values())) < 2:
            continue
        differing = _differing(list(settings.values()))
        listed = {names[index] for index in indices if drafts[index].listed}
        plain = listed if len(listed) == 1 else set()  # the only row that the table shows needs no more words
        for index in indices:
            if names[index] not in plain:
                words = [f"{field.rpartition('.')[2]}={short(settings[index].get(field, '—'))}" for field in differing]
                told[index] = label.model_copy(update={"variant": f"{label.variant} [{', '.join(words)}]"})
    return told


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields whose values differ; of required cells and digests only where nothing else does."""
    fields = dict.fromkeys(field for setting in settings for field in setting)
    differing = [field for field in fields if len({str(setting.get(field)) for setting in settings}) > 1]
    own = [field for field in differing if not field.startswith(("base.", "prior_source."))] or differing
    return [field for field in own if not field.endswith("digest")] or own


def _setting(cell: Cell, given: Mapping[int, str]) -> dict[str, Any]:
    """What one row of a table has in common: everything but seeds, and the digests that only follow from seeds."""
    seeds = ("seed", "base.seed", "prior_source.seed")
    fields = {field: value for field, value in flatten(cell).items() if field not in seeds}
    if id(cell.recipe) in given:
        fields = {field: value for field, value in fields.items() if not field.startswith("recipe.")}
        fields["recipe.label"] = given[id(cell.recipe)]
    return fields
