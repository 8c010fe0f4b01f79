"""Labels, by which tables call cells: short names, unique within the suite. No label is part of an identity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from harness.api.backbone import BackboneTraits
from harness.api.declaration import declaration
from harness.api.reference import PartRef, Placement, Regime
from harness.cells.cell import Cell, Variant
from harness.cells.suite import Labels
from harness.core.errors import HarnessError
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.core.source import REQUIRED, Option
from harness.core.wording import marked, short
from harness.recipes.mapping import BackboneMapping, PartMapping, RecipeMapping
from harness.spec.distinct import distinct
from harness.spec.drafts import CellDraft, PriorDraft
from harness.spec.example_marks import WORD, in_use_as_example, of_examples, prior_learned_from_examples
from harness.spec.policies import usual_policy
from harness.spec.schema import CONTINUED, VariantMapping
from harness.spec.tasks import pairs_declared

UNREADABLE = (HarnessError, ImportError, ValueError, SyntaxError, OSError)
"""What reading the declaration of a part may raise."""


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
            marks = backbone_marks(self._registry, ref.name, ref.options, ref.weights) if kind == "backbone" else []
            self._labels[id(ref)] = marked(self._given.get(id(ref)) or call(ref.name, options), marks)
        return self._labels[id(ref)]

    def _is_control(self, refiner: PartRef) -> bool:
        found = declaration(self._registry, "refiner", refiner.name)
        return found.holds(found.traits.control, refiner.options)

    def task(self, ref: PartRef, example: bool = False) -> str:
        """`gaussian_denoise`, or `low_light (synthetic)` where the inputs imitate real photographs. `example`: whether
        the cell's images are examples of a data set of the field (harness.spec.example_marks)."""
        made = ref.derived_from.name if ref.derived_from else None
        marks = task_marks(self._registry, made) + [WORD] * example
        return marked(self.part("task", ref), marks)

    def variant(self, told: CellDraft) -> str:
        """`base`, `ptg_rm+shuffled(nss)`, `ptg_rm+nss from_base`, …"""
        draft, cell = told.variant, told.cell
        if draft.label:
            return draft.label
        if draft.refiner is None:
            return "base" if draft.regime == "joint" else CONTINUED
        prior = f"+{self._prior(draft.prior)}" if draft.prior else ""
        usual = declaration(self._registry, "refiner", draft.refiner.name).traits.placements[0]
        placed = draft.placement if draft.placement != usual else None
        return _told(self.part("refiner", draft.refiner) + prior, placed, _policy(cell), draft.regime)

    def _prior_stem(self, draft: PriorDraft) -> str:
        return call(draft.ref.name, [self._prior_stem(draft.derived_from)] if draft.derived_from else [])

    def _prior(self, draft: PriorDraft) -> str:
        if id(draft) in self._given:
            return self._given[id(draft)]
        inner = [self._prior(draft.derived_from)] if draft.derived_from else []
        if len(self._seen["prior", self._prior_stem(draft)]) > 1:
            inner += self._unusual("prior", draft.ref)
            if draft.source is not None:
                solved, network = draft.source.task.ref, draft.source.backbone
                inner.append(f"{self.part('task', solved)}/{self.part('backbone', network)}")
        return call(draft.ref.name, inner)

    def _unusual(self, kind: str, ref: PartRef) -> list[str]:
        """Options that are not the part's defaults, as `width=8`."""
        declared = declaration(self._registry, kind, ref.name)
        shared = declared.traits.from_task if isinstance(declared.traits, BackboneTraits) else ()
        # The task's own label says what the backbone shares with it.
        said = {name: value for name, value in ref.options.items() if name not in shared or value is None}
        return unusual_options(declared.options, ref.model_copy(update={"options": said}))


def printed(
    axis: str, value: PartMapping | VariantMapping | RecipeMapping, dataset: Any, registry: Registry
) -> tuple[str, ...]:
    """What tables may call a value of an axis, apart from options; nothing for what has no name in them.

    Nothing for a part that cannot be read, either, which is reported elsewhere. `dataset`: the mapping of the one that
    is trained on, where there is one.
    """
    try:
        if isinstance(value, VariantMapping):
            return (value.label,) if value.label else _variant_names(value, registry)
        if axis == "task" and isinstance(value, PartMapping):
            name = marked(value.label or value.name, task_marks(registry, _made_by(value, dataset, registry)))
            return (name, marked(name, [WORD])) if in_use_as_example(dataset, registry) else (name,)
        if isinstance(value, BackboneMapping):
            marks = backbone_marks(registry, value.name, value.options, value.weights)
            return (marked(value.label or value.name, marks),)
    except UNREADABLE:
        return ()
    return ()


def _made_by(task: PartMapping, dataset: Any, registry: Registry) -> str | None:
    """The degradation that makes a task's inputs; None where the data set brings them."""
    name = declaration(registry, "task", task.name).traits.degradation
    if name is None or not isinstance(dataset, PartMapping):
        return name
    fixed = declaration(registry, "degradation", name).traits.acts == "fixed"
    return None if fixed and pairs_declared(dataset.name, dataset.options, registry) else name


def _variant_names(variant: VariantMapping, registry: Registry) -> tuple[str, ...]:
    """A variant's name without and with the policy of its features, which only some recipes call unusual."""
    if variant.refiner is None:
        return ("base" if variant.regime == "joint" else CONTINUED,)
    usual = declaration(registry, "refiner", variant.refiner.name).traits.placements[0]
    placed = variant.placement if "placement" in variant.model_fields_set and variant.placement != usual else None
    name = "+".join(part.label or part.name for part in (variant.refiner, variant.prior) if part)
    policies = ["" if variant.views == 1 else f"image×{variant.views}"]
    policies += [variant.features] if variant.features and variant.views == 1 else []
    return tuple(_told(name, placed, policy, variant.regime) for policy in policies)


def _policy(cell: Cell) -> str:
    """What a cell's prior sees in training where that is unusual: `live`, `image`, `image×8`; else empty."""
    chosen: Variant = cell.variant
    if chosen.prior is None:
        return ""
    many = f"×{chosen.views}" if chosen.views > 1 else ""
    return f"{chosen.features}{many}" if many or chosen.features != usual_policy(cell.recipe, cell.task) else ""


def _told(name: str, placed: Placement | None, policy: str, regime: Regime) -> str:
    """A refined variant's name with what is unusual about it. `placed`: the placement unless it is the usual one."""
    words = [name]
    words += [f"@{placed}"] if placed else []
    words += [f"prior:{policy}"] if policy else []
    words += [regime] if regime != "joint" else []
    return " ".join(words)


def task_marks(registry: Registry, degradation: str | None) -> list[str]:
    """`synthetic` where the inputs of a task imitate real photographs; every table says it.

    `degradation`: the one that makes them; None where the data set brings them.
    """
    if degradation is None:
        return []
    return ["synthetic"] if declaration(registry, "degradation", degradation).traits.synthetic else []


def backbone_marks(registry: Registry, name: str, options: Mapping[str, Any], weights: str | None) -> list[str]:
    """Why a backbone is not compared with others on equal terms, and its published weights; every table says it."""
    found = declaration(registry, "backbone", name)
    marks = ["reimplemented"] if found.traits.reimplemented else []
    marks += ["reads the truth"] if found.holds(found.traits.reads_truth_at_test, options) else []
    return marks + ([weights] if weights else [])


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
    settings: dict[tuple[object, ...], int] = {}
    places: list[int] = []
    firsts: list[CellDraft] = []
    for draft in drafts:
        place = settings.setdefault(_setting(draft), len(firsts))
        places.append(place)
        if place == len(firsts):
            firsts.append(draft)
    labels = []
    examples = of_examples(drafts, places)
    for place, draft in enumerate(firsts):
        cell = draft.cell
        task = names.task(cell.task, examples[place])
        if cell.backbone is None:
            labels.append(Labels(task=task, backbone="input", variant="input"))
        else:
            backbone = names.part("backbone", cell.backbone)
            marks = [WORD] if prior_learned_from_examples(cell) and not examples[place] else []
            labels.append(Labels(task=task, backbone=backbone, variant=marked(names.variant(draft), marks)))
    found = distinct(firsts, labels, given)
    return [found[place] for place in places]


def _setting(draft: CellDraft) -> tuple[object, ...]:
    """Equal for cells that differ in nothing but seeds; the resolver makes equal parts and recipes one object."""
    variant = draft.variant
    own = variant.placement, variant.regime, variant.features, variant.views, variant.label
    return (id(variant.refiner), id(variant.prior), *own, draft.listed, *_parts_of(draft.cell))


def _parts_of(cell: Cell | None) -> tuple[object, ...]:
    if cell is None:
        return ()
    own = tuple(map(id, (cell.task, cell.train, cell.backbone, cell.recipe)))
    return (*own, cell.variant.regime, cell.variant.refiner is None, _parts_of(cell.base), _parts_of(cell.prior_source))
