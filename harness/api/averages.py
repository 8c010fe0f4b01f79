"""Unweighted means over several test sets that papers add to their tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from harness.api.reference import EXAMPLE_MARK

AVERAGES: dict[str, tuple[str, ...]] = {
    "derain5": ("rain100h", "rain100l", "test100", "test1200", "test2800"),
}
"""The data sets of each mean, by its name. A table that has all of them, under one protocol, has a column of the mean
of their means: each set counts once, however many images it has.

derain5: what MPRNet's and Restormer's tables of deraining call the average.
"""

T = TypeVar("T")


def members_of(sets: Mapping[str, Sequence[T]]) -> Iterator[tuple[str, list[T]]]:
    """The means that some test sets make up: the name, and what is given of each of its sets, in their order.

    `sets`: by what the data set is called (PartRef.called), one value of each set of that name. Of two sets of one name
    nobody can say which is meant: there is no mean over them. A mean that has a set of examples is called so.
    """
    bare: dict[str, list[tuple[str, T]]] = {}
    for called, values in sets.items():
        bare.setdefault(called.removesuffix(EXAMPLE_MARK), []).extend((called, value) for value in values)
    for name, members in AVERAGES.items():
        found = [bare.get(member, []) for member in members]
        if all(len(each) == 1 for each in found):
            marked = any(called.endswith(EXAMPLE_MARK) for ((called, _),) in found)
            yield f"{name}{EXAMPLE_MARK if marked else ''}", [value for ((_, value),) in found]


def averages_of(means: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
    """As `members_of`, of the means of test sets: each mean over several sets by its name."""
    for name, values in members_of(means):
        yield name, math.fsum(values) / len(values)
