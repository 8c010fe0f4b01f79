"""Recipes laid over each other: the suite's defaults, the block's, the axis's, and what a required cell changes.

A layer may name a preset (harness.recipes.presets), which is a whole recipe. The preset's fields lie just below the
layer's own; a preset that a lower layer names then has no effect.

Losses and stages that no layer sets are those that the backbone declares (harness.api.backbone), else the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.api.traits import LossUse, StageUse
from harness.cells.recipe import LossTerm, PresetRef, Recipe, Stage
from harness.core.errors import UnknownName
from harness.core.identity import canonical_json
from harness.core.wording import short
from harness.core.yaml import Path
from harness.recipes.checks import recipe_mistakes
from harness.recipes.crops import plain
from harness.recipes.fitting import fitted
from harness.recipes.mapping import BackboneMapping, LossMapping, PartMapping, StageMapping
from harness.recipes.presets import RELATIVE, Preset, find_preset
from harness.spec.drafts import Layer
from harness.spec.options import fill
from harness.spec.resolve import Resolver

_NAMES = {"label", "preset"}
"""Keys that are not fields of a recipe."""

Losses = tuple[LossTerm, ...]


class Recipes:
    """Combines layers, each combination once; equal recipes come out as the same object, a wrong one as None."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._by_layers: dict[tuple[Any, ...], Recipe | None] = {}
        self._equal: dict[str, Recipe] = {}
        self._cut: dict[tuple[int, str], Recipe] = {}
        self._labelled: dict[int, str] = {}
        self._networks: dict[tuple[str, int], tuple[str, set[int]]] = {}

    def combined(self, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None) -> Recipe | None:
        """The recipe of layers for a backbone and a task, the last one on top.

        What no layer sets has the default of `Recipe`. Without a backbone or task (its name was a mistake) the
        mistakes of the layers are found all the same.
        """
        network, solved = (part.name if part else None for part in (backbone, task))
        key = (network, solved, *(layer.path for layer in layers))
        if key not in self._by_layers:
            self._by_layers[key] = self._combine(layers, network, solved)
        return self._by_layers[key]

    def cut(self, recipe: Recipe, root: Literal["backbone", "refiner"]) -> Recipe:
        """A combined recipe without the stages in which nothing of the root trains, under the same label."""
        key = (id(recipe), root)
        if key not in self._cut:
            alone = plain(recipe.for_backbone if root == "backbone" else recipe.for_refiner)
            alone = self._equal.setdefault(canonical_json(alone.model_dump(mode="json")), alone)
            if id(recipe) in self._resolver.labels:
                self._resolver.labels.setdefault(id(alone), self._resolver.labels[id(recipe)])
            self._cut[key] = alone
        return self._cut[key]

    def place(self, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None, path: Path) -> Path | None:
        """Where the file gives what a path of the combined recipe leads to; None for what no layer sets."""
        naming, preset = self._preset(layers, *(part.name if part else None for part in (backbone, task)))
        setter = _stacked(layers, naming, preset).setters.get(str(path[0]))
        return (*setter.path, *path) if setter else None

    def backbone(
        self, spec: BackboneMapping, path: Path, layers: Sequence[Layer], task: PartRef | None
    ) -> PartRef | None:
        """A cell's backbone. Options that the suite leaves out are those of the preset that the recipe names.

        Published weights bring options of their own. Options that the backbone shares with the task are the task's.
        """
        known = spec.name in self._resolver.registry.names("backbone")
        preset = self._preset(layers, spec.name if known else None, task.name if task else None)[1]
        ref = self._shared(preset.over(spec) if preset and not spec.weights else spec, path, task)
        if ref is not None and spec.label is not None:
            self._check_label(spec, spec.label, ref, path, task)
        return ref

    def _check_label(self, spec: BackboneMapping, label: str, ref: PartRef, path: Path, task: PartRef | None) -> None:
        """Reports a label that two networks of one table have. What presets and tasks make of one mapping is one."""
        written = canonical_json([spec.name, spec.weights, spec.options])
        first, known = self._networks.setdefault((label, id(task)), (written, {id(ref)}))
        if written == first:
            known.add(id(ref))
        elif id(ref) not in known:
            what = f"two networks are called {label!r}: this one and another one with other options"
            self._resolver.report((*path, "label"), what, "give one of them another label")

    def _shared(self, spec: BackboneMapping, path: Path, task: PartRef | None) -> PartRef | None:
        """The backbone with the task's values in the options of `from_task`; None after a contradiction."""
        ref = self._resolver.backbone(spec, path)
        if ref is None or task is None or task.derived_from is None:
            return ref
        solved = task.derived_from.options
        names = declaration(self._resolver.registry, "backbone", ref.name).traits.from_task
        filled = {name: solved[name] for name in names if name in solved and name not in spec.options}
        for name in names:
            given = spec.options.get(name)
            if given is not None and name in solved and ref.options[name] != solved[name]:
                what = f"{ref.name} is told {name} {short(given)}, and the task {task.name} has {short(solved[name])}"
                self._resolver.report((*path, name), what, f"leave {name} out: it is then the task's")
                return None
        if not filled:
            return ref
        told = BackboneMapping.model_validate(spec.model_dump(exclude_unset=True) | filled)
        return self._resolver.backbone(told, path) if self._takes(filled, ref, task, path) else None

    def _takes(self, filled: Mapping[str, Any], backbone: PartRef, task: PartRef, path: Path) -> bool:
        """Whether the backbone can be told the task's values; notes a range where it is told one value for all."""
        options = declaration(self._resolver.registry, "backbone", backbone.name).options
        for name, value in filled.items():
            if isinstance(value, list) and fill({name: options[name]}, {name: value}, backbone.name).mistakes:
                what = f"{backbone.name} is told one {name}, and the task {task.name} draws it from {short(value)}"
                self._resolver.report(path, what, f"{name}: null if it can do without, or one {name} in the task")
                return False
        return True

    def refiner(
        self, spec: PartMapping, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None
    ) -> PartMapping:
        """A cell's refiner as the suite gives it; options that it leaves out are those of the recipe's preset."""
        preset = self._preset(layers, backbone.name if backbone else None, task.name if task else None)[1]
        return preset.over_refiner(spec) if preset else spec

    def _preset(
        self, layers: Sequence[Layer], backbone: str | None, task: str | None
    ) -> tuple[Layer | None, Preset | None]:
        """The topmost layer that names a preset, and the preset, which is None after a mistake."""
        layer = next((layer for layer in reversed(layers) if layer.recipe.preset), None)
        if layer is None:
            return None, None
        name = str(layer.recipe.preset)
        if None in (backbone, task) and name.startswith(RELATIVE):
            return layer, None
        try:
            return layer, find_preset(name, backbone, task)
        except UnknownName as error:
            self._resolver.report((*layer.path, "preset"), error.what, error.hint)
            return layer, None

    def _combine(self, layers: Sequence[Layer], backbone: str | None, task: str | None) -> Recipe | None:
        naming, preset = self._preset(layers, backbone, task)
        stack = _stacked(layers, naming, preset)
        recipe = self._resolved(stack, backbone)
        if recipe is None or (naming is not None and preset is None):
            return None
        mistakes = list(recipe_mistakes(recipe))
        for mistake in mistakes:
            setter = stack.setters.get(str(mistake.path[0])) or (layers[-1] if layers else None)
            self._resolver.report((*setter.path, *mistake.path) if setter else (), mistake.what, mistake.hint)
        if mistakes:
            return None
        recipe = plain(recipe)
        recipe = self._equal.setdefault(canonical_json(recipe.model_dump(mode="json")), recipe)
        label = self._label(layers, naming, recipe)
        self._check_given(layers, naming, recipe)
        if label:
            self._resolver.labels.setdefault(id(recipe), label)
        return recipe

    def _check_given(self, layers: Sequence[Layer], naming: Layer | None, recipe: Recipe) -> None:
        """Reports a label of the file for a recipe that has another one: the table would show one of them."""
        above = layers[list(layers).index(naming) :] if naming else layers
        layer = next((layer for layer in reversed(above) if layer.recipe.label), None)
        if layer is None or layer.recipe.label is None:
            return
        known = self._labelled.setdefault(id(recipe), layer.recipe.label)
        if known != layer.recipe.label:
            what = f"the same recipe is called {known!r} elsewhere in this suite, and {layer.recipe.label!r} here"
            self._resolver.report((*layer.path, "label"), what, "give it one label, or other fields")

    def _label(self, layers: Sequence[Layer], naming: Layer | None, recipe: Recipe) -> str | None:
        """The label that a layer gives, if no preset lies above it; else the preset's name and the changed fields."""
        above = layers[list(layers).index(naming) :] if naming else layers
        label = next((layer.recipe.label for layer in reversed(above) if layer.recipe.label), None)
        if label or naming is None or recipe.preset is None:
            return label
        written = recipe.model_dump(mode="json")
        changed = {name: written[name] for name in recipe.preset.changed}
        if any(isinstance(value, list) for value in changed.values()):
            return None  # too long to say
        return " ".join([str(naming.recipe.preset), *(f"{name}={short(value)}" for name, value in changed.items())])

    def _resolved(self, stack: _Stack, backbone: str | None) -> Recipe | None:
        """The recipe with its losses resolved: those given, else those that the backbone declares, else the default."""
        values = dict(stack.values)
        losses = self._given(values.pop("losses", None), stack)
        stages = self._stages(values.pop("stages", ()), stack)
        if losses is None or stages is None:
            return None
        if not losses and backbone is not None:
            traits = declaration(self._resolver.registry, "backbone", backbone).traits
            losses = self._resolver.losses(traits.losses, ("backbone", backbone))
            if not stages:
                stages = self.declared_stages(
                    traits.stages, values.get("steps", Recipe().steps), ("backbone", backbone)
                )
        if not losses and not (stages and all(stage.losses for stage in stages)):
            losses = self._resolver.losses(_DEFAULT)
        return Recipe(**values, losses=losses, stages=stages)

    def _given(self, given: Sequence[LossMapping] | None, stack: _Stack) -> Losses | None:
        """The losses that the file names: none when it names none, None after a mistake."""
        return self._terms(given, (*stack.setters["losses"].path, "losses")) if given else ()

    def _stages(self, given: Sequence[StageMapping], stack: _Stack) -> tuple[Stage, ...] | None:
        stages = []
        for index, stage in enumerate(given):
            terms: Losses | None = None
            if stage.losses is not None:
                terms = self._terms(stage.losses, (*stack.setters["stages"].path, "stages", index, "losses"))
                if terms is None:
                    return None
            stages.append(Stage(**(dict(stage) | {"losses": terms})))
        return tuple(stages)

    def _terms(self, given: Sequence[Any], path: Path) -> Losses | None:
        parts = [self._resolver.part("loss", spec, (*path, index)) for index, spec in enumerate(given)]
        terms = [
            LossTerm(part=ref, weight=spec.weight, refined_weight=spec.refined_weight)
            for ref, spec in zip(parts, given, strict=True)
            if ref
        ]
        return tuple(terms) if len(terms) == len(given) else None

    def declared_stages(
        self, stages: Sequence[StageUse], steps: int, owner: tuple[Literal["backbone", "refiner"], str]
    ) -> tuple[Stage, ...]:
        """The stages that a part declares. Each gets its share of the steps, the last one all that are left.

        `owner`: kind and name of the part.

        A refiner trains in the last stage of a backbone. Each stage of a backbone starts its optimizer anew; the stages
        of a refiner continue it, and use the recipe's losses where they name none.
        """
        built: list[Stage] = []
        kind = owner[0]
        for number, use in enumerate(stages, 1):
            last, left = number == len(stages), steps - sum(stage.steps for stage in built)
            if left < 1:  # fewer steps than stages: the later ones never come
                break
            trains = [f"{kind}.{module}" for module in use.trains]
            if kind == "backbone" and last:
                trains.append("refiner")
            built.append(
                Stage(
                    steps=left if last else min(left, max(1, round(use.share * steps))),
                    trains=tuple(trains),
                    losses=self._resolver.losses(use.losses, owner) or None,
                    restart=kind == "backbone",
                )
            )
        return tuple(built)


@dataclass(frozen=True)
class _Stack:
    """Layers laid over each other: the value of every field that one of them sets, and the layer that set it."""

    values: Mapping[str, Any]
    setters: Mapping[str, Layer]


def _stacked(layers: Sequence[Layer], naming: Layer | None, preset: Preset | None) -> _Stack:
    """The fields of all layers. A preset's lie below those of the layer that names it, and are fitted to the others."""
    values: dict[str, Any] = {}
    setters: dict[str, Layer] = {}
    below: Layer | None = None
    for layer in layers:
        if layer is naming and preset is not None:
            below = Layer(preset.recipe, (*layer.path, "preset"))
            values |= preset.fields
            setters |= dict.fromkeys(preset.fields, below)
        given = layer.recipe.model_fields_set - _NAMES
        values |= {name: getattr(layer.recipe, name) for name in given}
        setters |= dict.fromkeys(given, layer)
    if preset is not None:
        kept = {name for name, layer in setters.items() if layer is below}
        values = fitted(preset, values, kept)
        changed = tuple(name for name in Recipe.model_fields if name in setters and name not in kept)
        values["preset"] = PresetRef(name=preset.name, version=preset.version, changed=changed)
    return _Stack(values, setters)


_DEFAULT = [LossUse(term.part.name, term.weight, term.part.options) for term in Recipe().losses]
