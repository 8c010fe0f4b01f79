"""Recipes laid over each other: the suite's defaults, the block's, the axis's, and what a required cell changes.

A layer may name a preset (harness.spec.presets), which is a whole recipe: its fields count as written in that layer,
below the layer's own, and nothing of a preset that a lower layer names remains.

What none of them says of losses and stages, the backbone declares (harness.api.parts.Backbone); else the defaults hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.api.reference import PartRef
from harness.core.errors import UnknownName
from harness.core.identity import canonical_json
from harness.core.yaml import Path
from harness.spec.cell import LossTerm, PresetRef, Recipe, Stage
from harness.spec.checks import recipe_mistakes
from harness.spec.drafts import Layer
from harness.spec.presets import RELATIVE, Preset, find_preset, fitted
from harness.spec.resolve import Resolver
from harness.spec.schema import BackboneMapping, LossMapping, StageMapping
from harness.spec.wording import short

_NAMES = {"label", "preset"}
"""Keys that are no fields of a recipe."""

Losses = tuple[LossTerm, ...]


class Recipes:
    """Combines layers, each combination once; equal recipes come out as the same object, a wrong one as None."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._by_layers: dict[tuple[Any, ...], Recipe | None] = {}
        self._equal: dict[str, Recipe] = {}

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

    def backbone(
        self, spec: BackboneMapping, path: Path, layers: Sequence[Layer], task: PartRef | None
    ) -> PartRef | None:
        """A cell's backbone. Below the options that the suite gives lie those of the preset that its recipe names.

        Published weights bring options of their own.
        """
        known = spec.name in self._resolver.registry.names("backbone")
        preset = self._preset(layers, spec.name if known else None, task.name if task else None)[1]
        return self._resolver.backbone(preset.over(spec) if preset and not spec.weights else spec, path)

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
        owner: dict[str, Layer] = {}
        values: dict[str, Any] = {}
        below: Layer | None = None
        for layer in layers:
            if layer is naming and preset is not None:
                below = Layer(preset.recipe, (*layer.path, "preset"))
                owner |= dict.fromkeys(preset.fields, below)
                values |= preset.fields
            given = layer.recipe.model_fields_set - _NAMES
            owner |= dict.fromkeys(given, layer)
            values |= {name: getattr(layer.recipe, name) for name in given}
        if preset is not None:
            kept = {name for name, layer in owner.items() if layer is below}
            values = fitted(preset, values, kept)
            changed = tuple(name for name in Recipe.model_fields if name in owner and name not in kept)
            values["preset"] = PresetRef(name=preset.name, version=preset.version, changed=changed)
        recipe = self._resolved(values, owner, backbone)
        if recipe is None or (naming is not None and preset is None):
            return None
        mistakes = list(recipe_mistakes(recipe))
        for name, what, hint in mistakes:
            setter = owner.get(name) or (layers[-1] if layers else None)
            self._resolver.report((*setter.path, name) if setter else (), what, hint)
        if mistakes:
            return None
        recipe = self._equal.setdefault(canonical_json(recipe.model_dump(mode="json")), recipe)
        label = self._label(layers, naming, recipe)
        if label:
            self._resolver.labels.setdefault(id(recipe), label)
        return recipe

    def _label(self, layers: Sequence[Layer], naming: Layer | None, recipe: Recipe) -> str | None:
        """The file's own label, which one below a preset is not; else the preset and what was changed of it."""
        above = layers[list(layers).index(naming) :] if naming else layers
        label = next((layer.recipe.label for layer in reversed(above) if layer.recipe.label), None)
        if label or naming is None or recipe.preset is None:
            return label
        changed = {name: getattr(recipe, name) for name in recipe.preset.changed}
        if any(isinstance(value, tuple) for value in changed.values()):
            return None  # too long to say
        return " ".join([str(naming.recipe.preset), *(f"{name}={short(value)}" for name, value in changed.items())])

    def _resolved(self, values: dict[str, Any], owner: Mapping[str, Layer], backbone: str | None) -> Recipe | None:
        """The recipe with its losses resolved: those given, else those that the backbone declares, else the default."""
        losses = self._given(values.pop("losses", None), owner)
        stages = self._stages(values.pop("stages", ()), owner)
        if losses is None or stages is None:
            return None
        if not losses and backbone is not None:
            declared = self._resolver.registry.signature("backbone", backbone).declared
            losses = self._resolver.losses(declared.get("losses", ()))
            if not stages:
                stages = self._declared(declared.get("stages", ()), values.get("steps", Recipe().steps))
        if not losses and not (stages and all(stage.losses for stage in stages)):
            losses = self._resolver.losses(_DEFAULT)
        return Recipe(**values, losses=losses, stages=stages)

    def _given(self, given: Sequence[LossMapping] | None, owner: Mapping[str, Layer]) -> Losses | None:
        """The losses that the file names: none when it names none, None after a mistake."""
        return self._terms(given, (*owner["losses"].path, "losses")) if given else ()

    def _stages(self, given: Sequence[StageMapping], owner: Mapping[str, Layer]) -> tuple[Stage, ...] | None:
        stages = []
        for index, stage in enumerate(given):
            terms: Losses | None = None
            if stage.losses is not None:
                terms = self._terms(stage.losses, (*owner["stages"].path, "stages", index, "losses"))
                if terms is None:
                    return None
            stages.append(Stage(**(dict(stage) | {"losses": terms})))
        return tuple(stages)

    def _terms(self, given: Sequence[Any], path: Path) -> Losses | None:
        parts = [self._resolver.part("loss", spec, (*path, index)) for index, spec in enumerate(given)]
        terms = [LossTerm(part=ref, weight=spec.weight) for ref, spec in zip(parts, given, strict=True) if ref]
        return tuple(terms) if len(terms) == len(given) else None

    def _declared(self, stages: Sequence[Any], steps: int) -> tuple[Stage, ...]:
        """The backbone's own stages, each its share of the steps, the last one whatever is left."""
        made: list[Stage] = []
        for number, (share, modules, losses) in enumerate(stages, 1):
            last, left = number == len(stages), steps - sum(stage.steps for stage in made)
            if left < 1:  # fewer steps than stages: the later ones never come
                break
            length = left if last else min(left, max(1, round(share * steps)))
            learns = [f"backbone.{module}" for module in modules] + (["refiner"] if last else [])
            terms = self._resolver.losses(losses)
            made.append(Stage(steps=length, learns=tuple(learns), losses=terms, restart=True))
        return tuple(made)


_DEFAULT = [(term.part.name, term.weight, term.part.options) for term in Recipe().losses]
