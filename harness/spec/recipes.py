"""Recipes laid over each other: the suite's defaults, the block's, the axis's, and what a required cell changes.

What none of them says of losses and stages, the backbone declares (harness.api.parts.Backbone); else the defaults hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.api.reference import PartRef
from harness.core.identity import canonical_json
from harness.core.yaml import Path
from harness.spec.cell import LossTerm, Recipe, Stage
from harness.spec.checks import recipe_mistakes
from harness.spec.drafts import Layer
from harness.spec.resolve import Resolver
from harness.spec.schema import LossMapping, StageMapping

_LABEL = "label"

Losses = tuple[LossTerm, ...]


class Recipes:
    """Combines layers, each combination once; equal recipes come out as the same object, a wrong one as None."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._by_layers: dict[tuple[Any, ...], Recipe | None] = {}
        self._equal: dict[str, Recipe] = {}

    def combined(self, layers: Sequence[Layer], backbone: PartRef | None) -> Recipe | None:
        """The recipe of layers for a backbone, the last one on top; what none sets has the default of `Recipe`.

        Without a backbone (its name was a mistake) the mistakes of the layers are found all the same.
        """
        name = None if backbone is None else backbone.name
        key = (name, *(layer.path for layer in layers))
        if key not in self._by_layers:
            self._by_layers[key] = self._combine(layers, name)
        return self._by_layers[key]

    def _combine(self, layers: Sequence[Layer], backbone: str | None) -> Recipe | None:
        owner: dict[str, Layer] = {}
        for layer in layers:
            owner |= dict.fromkeys(layer.recipe.model_fields_set - {_LABEL}, layer)
        values: dict[str, Any] = {name: getattr(layer.recipe, name) for name, layer in owner.items()}
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
        recipe = Recipe(**values, losses=losses, stages=stages)
        mistakes = list(recipe_mistakes(recipe))
        for name, what, hint in mistakes:
            setter = owner.get(name) or (layers[-1] if layers else None)
            self._resolver.report((*setter.path, name) if setter else (), what, hint)
        if mistakes:
            return None
        recipe = self._equal.setdefault(canonical_json(recipe.model_dump(mode="json")), recipe)
        label = next((layer.recipe.label for layer in reversed(layers) if layer.recipe.label), None)
        if label:
            self._resolver.labels.setdefault(id(recipe), label)
        return recipe

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
            last = number == len(stages)
            length = steps - sum(stage.steps for stage in made) if last else max(1, round(share * steps))
            if length < 1:  # fewer steps than stages: the later ones never come
                break
            learns = [f"backbone.{module}" for module in modules] + (["refiner"] if last else [])
            terms = self._resolver.losses(losses)
            made.append(Stage(steps=length, learns=tuple(learns), losses=terms, restart=True))
        return tuple(made)


_DEFAULT = [(term.part.name, term.weight, term.part.options) for term in Recipe().losses]
