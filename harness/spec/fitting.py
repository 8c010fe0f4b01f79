"""Rules between a part's options that a suite breaks, and the nearest values that keep all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from harness.api.options import AnnotationError, checked
from harness.api.traits import Rule
from harness.core.source import Option
from harness.core.wording import Mistake, short

_FARTHEST = 256
"""How far from a number another one is looked for."""
_LONGEST = 12
"""How many items a tuple is tried with."""


def rule_mistakes(
    rules: Sequence[Rule], options: Mapping[str, Option], values: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[Mistake]:
    """A mistake for every broken rule, at an option that the suite gives.

    `values`: of all options, each in its own range; `given`: those that the suite names.
    """
    for rule in rules:
        if not rule.kept(values):
            named = sorted(rule.options, key=lambda name: name not in given)  # stable: in the order of the formula
            path = (named[0],) if named[0] in given else ()
            yield Mistake(path, rule.told(values), _hint(rules, options, values, named))


def _hint(rules: Sequence[Rule], options: Mapping[str, Option], values: Mapping[str, Any], named: Sequence[str]) -> str:
    for name in named:
        near = _nearest(rules, options[name], values)
        if near:
            return ", or ".join(f"{name}: {short(value).replace(',', ', ')}" for value in near)
    return ""


def _nearest(rules: Sequence[Rule], option: Option, values: Mapping[str, Any]) -> list[Any]:
    """Values of one option with which all rules hold: for a number the next ones on both sides."""
    value = values[option.name]
    if isinstance(value, list | tuple):
        found = next((new for new in _tuples(value) if _fits(rules, option, values, new)), None)
        return [] if found is None else [found]
    if isinstance(value, bool) or not isinstance(value, int):
        return []
    near = []
    for step in (-1, 1):
        tried = (value + step * far for far in range(1, _FARTHEST + 1))
        near += [new for new in [next((new for new in tried if _fits(rules, option, values, new)), None)] if new]
    return near


def _tuples(value: Sequence[Any]) -> Iterator[list[Any]]:
    """Tuples like this one: with one other number, the nearest first, then of another length."""
    items = list(value)
    whole = [place for place, item in enumerate(items) if isinstance(item, int) and not isinstance(item, bool)]
    for far in range(1, _FARTHEST + 1):
        for place in whole:
            for step in (-far, far):
                yield [*items[:place], items[place] + step, *items[place + 1 :]]
    for length in sorted(range(1, _LONGEST + 1), key=lambda length: abs(length - len(items))):
        yield (items + items[-1:] * length)[:length]


def _fits(rules: Sequence[Rule], option: Option, values: Mapping[str, Any], value: Any) -> bool:
    if not all(rule.kept({**values, option.name: value}) for rule in rules):
        return False
    try:
        checked(option.annotation, value)
    except (AnnotationError, ValidationError, ValueError, TypeError):
        return False
    return True
