"""The combinations of one block: product of the matrix, axes zipped in lockstep, exclude rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import BaseModel

from harness.core.errors import Problem
from harness.core.yaml import Path
from harness.spec.schema import AXES, Block, Exclude, PartMapping, RecipeMapping, SuiteFile, VariantMapping

Value = PartMapping | VariantMapping | RecipeMapping


@dataclass(frozen=True)
class Choice:
    """One value of an axis and where it stands in the file."""

    value: Value
    path: Path


Group = list[dict[str, Choice]]
"""Axes that go together, e.g. one axis of the matrix, or all that are zipped: their choices, one dict a step."""


@dataclass(frozen=True)
class Combination:
    """A choice for every axis that the block or the suite's defaults name, and the seeds that no rule excludes."""

    choices: Mapping[str, Choice]
    seeds: tuple[int, ...]


def combinations(suite: SuiteFile, index: int, problems: list[Problem]) -> list[Combination]:
    """All combinations of block `index`, in the file's order. Mistakes are added to `problems`."""
    block = suite.blocks[index]
    groups = _groups(suite, block, ("blocks", index), problems)
    seeds = block.seeds or suite.defaults.seeds or (0,)
    rules = [_Rule(rule, ("blocks", index, "exclude", number)) for number, rule in enumerate(block.exclude)]
    kept = []
    for steps in product(*groups):
        choices = {axis: choice for step in steps for axis, choice in step.items()}
        excluded = {seed for rule in rules for seed in seeds if rule.matches(choices, seed)}
        left = tuple(seed for seed in seeds if seed not in excluded)
        if left:
            kept.append(Combination(choices, left))
    if suite.is_whole(suite.tree.nearest(("blocks", index)).path):
        for rule in rules:
            if not rule.used:
                problems.append(_problem(suite, rule.path, "this rule excludes nothing", "compare it with the axes"))
        if rules and not kept:
            problems.append(_problem(suite, ("blocks", index, "exclude"), "these rules leave no cell of the block"))
    return kept


def _groups(suite: SuiteFile, block: Block, path: Path, problems: list[Problem]) -> list[Group]:
    """The block's axes in the order of AXES; zipped ones stand where the first of them belongs."""
    zipped = _zipped(suite, block, path, problems)
    named = set(zipped[0]) if zipped else set()
    groups: list[Group] = [zipped] if zipped else []
    for axis in AXES:
        values = getattr(block.matrix, axis) if block.matrix else None
        if values is not None:
            if axis in named:
                problems.append(
                    _problem(suite, (*path, "matrix", axis), f"{axis} is in `zip`, too", "keep one of them")
                )
                continue
            named.add(axis)
            groups.append([{axis: Choice(value, (*path, "matrix", axis, i))} for i, value in enumerate(values)])
        if axis == "recipe":  # a block's recipe is laid below the axis, not in its place
            continue
        for owner, where in ((block, path), (suite.defaults, ("defaults",))):
            value = getattr(owner, axis)
            if value is None:
                continue
            if axis not in named:
                groups.append([{axis: Choice(value, (*where, axis))}])
                named.add(axis)
            elif owner is block:
                what = f"{axis} is given by the block and by its axes"
                problems.append(_problem(suite, (*where, axis), what, "keep one of them"))
            break
    return sorted(groups, key=lambda group: min(AXES.index(axis) for axis in group[0]))


def _zipped(suite: SuiteFile, block: Block, path: Path, problems: list[Problem]) -> Group:
    axes = {axis: getattr(block.zip, axis) for axis in AXES if block.zip and getattr(block.zip, axis) is not None}
    lengths = {axis: len(values) for axis, values in axes.items()}
    if len(set(lengths.values())) > 1 and suite.is_whole(suite.tree.nearest((*path, "zip")).path):
        sizes = ", ".join(f"{axis} {length}" for axis, length in lengths.items())
        problems.append(_problem(suite, (*path, "zip"), f"zipped axes differ in length: {sizes}", "or use `matrix`"))
    return [
        {axis: Choice(values[i], (*path, "zip", axis, i)) for axis, values in axes.items()}
        for i in range(min(lengths.values(), default=0))
    ]


def _problem(suite: SuiteFile, path: Path, what: str, hint: str = "") -> Problem:
    return suite.tree.nearest(path).problem(what, hint)


class _Rule:
    """One exclude rule, which remembers whether it ever matched."""

    def __init__(self, rule: Exclude, path: Path) -> None:
        self.path = path
        self.used = False
        self._seeds = (rule.seed,) if isinstance(rule.seed, int) else rule.seed
        self._patterns = {axis: getattr(rule, axis) for axis in AXES if getattr(rule, axis) is not None}

    def matches(self, choices: Mapping[str, Choice], seed: int) -> bool:
        if not self._patterns and self._seeds is None:
            return False
        matched = (self._seeds is None or seed in self._seeds) and all(
            axis in choices and _matches(pattern, _content(choices[axis].value))
            for axis, pattern in self._patterns.items()
        )
        self.used = self.used or matched
        return matched


def _content(value: Value) -> dict[str, Any]:
    """What a rule can match: the keys that the file gives. A variant is named `base` or `refiner+prior`."""
    content = {name: getattr(value, name) for name in value.model_fields_set if name in type(value).model_fields}
    content |= value.options if isinstance(value, PartMapping) else {}
    if isinstance(value, VariantMapping):
        content["name"] = "+".join(part.name for part in (value.refiner, value.prior) if part) or "base"
    return {key: _content(item) if isinstance(item, BaseModel) else item for key, item in content.items()}  # type: ignore[arg-type]


def _matches(pattern: Any, content: Any) -> bool:
    """A text matches a name or label, a mapping the keys it has, a list if one of its items matches."""
    if isinstance(pattern, tuple) and not isinstance(content, tuple):
        return any(_matches(item, content) for item in pattern)
    if isinstance(content, dict):
        if isinstance(pattern, dict):
            return all(key in content and _matches(item, content[key]) for key, item in pattern.items())
        return pattern is not None and pattern in (content.get("name"), content.get("label"))
    if isinstance(pattern, dict):  # an option that names a part: the name alone stands for the mapping
        return set(pattern) == {"name"} and bool(pattern["name"] == content)
    return bool(pattern == content) and isinstance(pattern, bool) == isinstance(content, bool)
