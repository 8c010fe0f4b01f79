"""The combinations of one block: product of the matrix, axes zipped in lockstep, exclude rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import BaseModel

from harness.core.errors import Problem
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.core.yaml import Path
from harness.recipes.mapping import PartMapping, RecipeMapping
from harness.spec.labels import printed
from harness.spec.schema import AXES, CONTINUED, Block, Exclude, SuiteFile, VariantMapping

Value = PartMapping | VariantMapping | RecipeMapping


@dataclass(frozen=True)
class Choice:
    """One value of an axis and where it stands in the file."""

    value: Value
    path: Path


Group = list[dict[str, Choice]]
"""Axes that go together, e.g. one axis of the matrix, or all that are zipped: their choices, one dict per step."""


@dataclass(frozen=True)
class Combination:
    """A choice for every axis that the block or the suite's defaults name, and the seeds that no rule excludes."""

    choices: Mapping[str, Choice]
    seeds: tuple[int, ...]
    continued: tuple[int, ...]
    """Those for which `base_continued` stands beside a variant that starts from a base."""


def combinations(suite: SuiteFile, index: int, registry: Registry, problems: list[Problem]) -> list[Combination]:
    """All combinations of block `index`, in the file's order. Mistakes are added to `problems`."""
    block, path = suite.blocks[index], ("blocks", index)
    seeds = block.seeds or suite.defaults.seeds or (0,)
    rules = [_Rule(rule, (*path, "exclude", number), registry) for number, rule in enumerate(block.exclude)]
    every = [
        {axis: choice for step in steps for axis, choice in step.items()}
        for steps in product(*_groups(suite, block, path, problems))
    ]
    kept, beside = [], []
    for choices in every:
        left, continued = _left(seeds, choices, rules), _continued(choices)
        beside += [continued] if continued else []
        there = _left(seeds, continued, rules) if continued else ()
        if left:
            kept.append(Combination(choices, left, tuple(seed for seed in left if seed in there)))
    every += beside
    if suite.is_whole(path):
        for rule in rules:
            if not rule.used:
                problems.append(suite.problem(rule.path, "this rule excludes nothing", rule.hint(every, seeds)))
        if rules and not kept:
            problems.append(suite.problem((*path, "exclude"), "these rules leave no cell of the block"))
    return kept


def _left(seeds: tuple[int, ...], choices: Mapping[str, Choice], rules: list[_Rule]) -> tuple[int, ...]:
    """The seeds that no rule excludes. Every rule is asked about every seed, so that each learns whether it is used."""
    excluded = {seed for rule in rules for seed in seeds if rule.matches(choices, seed)}
    return tuple(seed for seed in seeds if seed not in excluded)


def _continued(choices: Mapping[str, Choice]) -> dict[str, Choice] | None:
    """The combination of `base_continued` that stands beside one whose variant starts from a base; None without."""
    choice = choices.get("variant")
    variant = choice.value if choice else None
    if choice is None or not isinstance(variant, VariantMapping):
        return None
    if variant.refiner is None or variant.regime == "joint" or not variant.continued:
        return None
    given = {"regime": "from_base"} | ({"base_recipe": variant.base_recipe} if variant.base_recipe else {})
    return {**choices, "variant": Choice(VariantMapping.model_validate(given), choice.path)}


def _groups(suite: SuiteFile, block: Block, path: Path, problems: list[Problem]) -> list[Group]:
    """The block's axes in the order of AXES; zipped ones stand where the first of them belongs."""
    zipped = _zipped(suite, block, path, problems)
    groups = [zipped] if zipped else []
    for axis in AXES:
        in_zip = bool(zipped) and axis in zipped[0]
        multiplied = _multiplied(block, axis, path)
        one = _one(suite, block, axis, path)
        if in_zip and multiplied:
            problems.append(suite.problem((*path, "matrix", axis), f"{axis} is in `zip`, too", "keep one of them"))
        if (in_zip or multiplied) and one is not None and one.path[0] == path[0]:
            what = f"{axis} is given by the block and by its axes"
            problems.append(suite.problem(one.path, what, "keep one of them"))
        if in_zip:
            continue
        if multiplied:
            groups.append(multiplied)
        elif one is not None:
            groups.append([{axis: one}])
    return sorted(groups, key=lambda group: min(AXES.index(axis) for axis in group[0]))


def _multiplied(block: Block, axis: str, path: Path) -> Group:
    """The values of an axis of the matrix; none when the matrix does not have it."""
    values = getattr(block.matrix, axis) if block.matrix else None
    return [{axis: Choice(value, (*path, "matrix", axis, i))} for i, value in enumerate(values or ())]


def _one(suite: SuiteFile, block: Block, axis: str, path: Path) -> Choice | None:
    """The value that the block itself gives for an axis, else the suite's default; None when neither does.

    A recipe is different: the block's recipe is laid below those of the axis, and does not replace them.
    """
    for owner, at in ((block, path), (suite.defaults, ("defaults",))):
        value = getattr(owner, axis)
        if value is not None and axis != "recipe":
            return Choice(value, (*at, axis))
    return None


def _zipped(suite: SuiteFile, block: Block, path: Path, problems: list[Problem]) -> Group:
    """The zipped axes step by step, as many steps as the shortest has."""
    axes = {axis: getattr(block.zip, axis) for axis in AXES if block.zip and getattr(block.zip, axis) is not None}
    lengths = {axis: len(values) for axis, values in axes.items()}
    if len(set(lengths.values())) > 1 and suite.is_whole((*path, "zip")):
        sizes = ", ".join(f"{axis} {length}" for axis, length in lengths.items())
        problems.append(suite.problem((*path, "zip"), f"zipped axes differ in length: {sizes}", "or use `matrix`"))
    return [
        {axis: Choice(values[i], (*path, "zip", axis, i)) for axis, values in axes.items()}
        for i in range(min(lengths.values(), default=0))
    ]


class _Rule:
    """One exclude rule, which remembers whether it ever matched."""

    def __init__(self, rule: Exclude, path: Path, registry: Registry) -> None:
        self.path = path
        self._registry = registry
        self.used = False
        self._seeds = (rule.seed,) if isinstance(rule.seed, int) else rule.seed
        self._patterns = {axis: getattr(rule, axis) for axis in AXES if getattr(rule, axis) is not None}

    def matches(self, choices: Mapping[str, Choice], seed: int) -> bool:
        """Whether it excludes a combination with a seed. A rule without any key excludes nothing."""
        if not self._patterns and self._seeds is None:
            return False
        matched = (self._seeds is None or seed in self._seeds) and all(
            self._matches_axis(axis, choices) for axis in self._patterns
        )
        self.used = self.used or matched
        return matched

    def _matches_axis(self, axis: str, choices: Mapping[str, Choice]) -> bool:
        if axis not in choices:
            return False
        pattern, value = self._patterns[axis], choices[axis].value
        texts = [text for text in (pattern if isinstance(pattern, tuple) else (pattern,)) if isinstance(text, str)]
        dataset = choices["dataset"].value if "dataset" in choices else None
        named = printed(axis, value, dataset, self._registry) if texts else ()
        return _matches(pattern, _content(value)) or any(name in texts for name in named)

    def hint(self, every: Sequence[Mapping[str, Choice]], seeds: Sequence[int]) -> str:
        """Why the rule matches none of the combinations."""
        if not self._patterns and self._seeds is None:
            return "name what it excludes, as {task: NAME}"
        for axis, pattern in self._patterns.items():
            if not any(self._matches_axis(axis, choices) for choices in every):
                contents = [_content(choices[axis].value) for choices in every if axis in choices]
                if not contents:
                    return f"{axis} is not an axis of this block"
                names = dict.fromkeys(content.get("label") or content.get("name") for content in contents)
                given = "none of " + ", ".join(map(str, names)) if all(names) else f"no {axis} of this block"
                return f"{axis} {_quoted(pattern)} matches {given}"
        if self._seeds is not None and not set(self._seeds) & set(seeds):
            return f"the seeds are {', '.join(map(str, seeds))}"
        return "each of its keys matches something, but no combination has all of them"


def _content(value: Value) -> dict[str, Any]:
    """What a rule can match: the keys that the file gives. A variant is named `refiner+prior`, or as `_alone` says."""
    content = {name: getattr(value, name) for name in value.model_fields_set if name in type(value).model_fields}
    content |= value.options if isinstance(value, PartMapping) else {}
    if isinstance(value, VariantMapping):
        content["name"] = "+".join(part.name for part in (value.refiner, value.prior) if part) or _alone(value)
    return {key: _content(item) if isinstance(item, BaseModel) else item for key, item in content.items()}  # type: ignore[arg-type]


def _alone(variant: VariantMapping) -> str:
    """The name of a variant without a refiner."""
    return CONTINUED if variant.regime == "from_base" else "base"


def _quoted(pattern: Any) -> str:
    """A pattern as a suite writes it, on one line."""
    return pattern if isinstance(pattern, str) else canonical_json(pattern)


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
