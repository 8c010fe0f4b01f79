"""Recipes laid over each other: the suite's defaults, the block's, the axis's, and what a required cell changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.identity import canonical_json
from harness.core.yaml import Path
from harness.spec.cell import LossTerm, Recipe
from harness.spec.checks import recipe_mistakes
from harness.spec.drafts import Layer
from harness.spec.resolve import Resolver
from harness.spec.schema import LossMapping

_LABEL = "label"


class Recipes:
    """Combines layers, each combination once; equal recipes come out as the same object, a wrong one as None."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._by_layers: dict[tuple[Path, ...], Recipe | None] = {}
        self._equal: dict[str, Recipe] = {}

    def combined(self, layers: Sequence[Layer]) -> Recipe | None:
        """The recipe of layers, the last one on top; what none of them sets has the default of `Recipe`."""
        key = tuple(layer.path for layer in layers)
        if key not in self._by_layers:
            self._by_layers[key] = self._combine(layers)
        return self._by_layers[key]

    def _combine(self, layers: Sequence[Layer]) -> Recipe | None:
        owner: dict[str, Layer] = {}
        for layer in layers:
            owner |= dict.fromkeys(layer.recipe.model_fields_set - {_LABEL}, layer)
        values: dict[str, Any] = {name: getattr(layer.recipe, name) for name, layer in owner.items()}
        losses = self._losses(values.pop("losses", None), owner)
        if losses is None:
            return None
        recipe = Recipe(**values, losses=losses)
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

    def _losses(self, given: Sequence[LossMapping] | None, owner: Mapping[str, Layer]) -> tuple[LossTerm, ...] | None:
        path: Path = (*owner["losses"].path, "losses") if given else ()
        if not given:
            defaults = [term.part for term in Recipe().losses]
            given = [LossMapping.model_validate({"name": part.name, **part.options}) for part in defaults]
        parts = [self._resolver.part("loss", spec, (*path, i) if path else ()) for i, spec in enumerate(given)]
        terms = [LossTerm(part=ref, weight=spec.weight) for ref, spec in zip(parts, given, strict=True) if ref]
        return tuple(terms) if len(terms) == len(given) else None
