"""Which pictures several splits have in common: every pair of them, each split by itself, with numbers and examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.api.reference import PartRef
from harness.data.audit import IDENTICAL, Same, same_pictures, twins
from harness.data.prints import Prints

EXAMPLES = 3
"""Pairs of pictures that are named of each two splits."""


@dataclass(frozen=True)
class Printed:
    """A split of a data set, and the prints of its pictures."""

    dataset: PartRef
    split: str
    prints: Prints
    label: str = ""
    """What the suite calls the data set; empty where it gives it no name."""

    @property
    def called(self) -> str:
        return f"{self.label or self.dataset.called}/{self.split}"


@dataclass(frozen=True)
class SharedPictures:
    """The pictures that two splits share, or that one split has twice."""

    one: Printed
    other: Printed
    """The same split as `one` where that has pictures twice."""
    exact: int
    """Pictures of `other` whose pixels are those of a picture of `one`."""
    near: int
    """Pictures of `other` that are nearly one of `one`: brighter, smaller, mirrored, turned, compressed."""
    examples: tuple[tuple[str, str, str], ...]
    """The first of them: the keys, and how far they are the same."""


def shared_pictures(splits: Sequence[Printed], seen: Callable[[], None] = lambda: None) -> Iterator[SharedPictures]:
    """What every two of some splits share, and what those other than `train` have twice.

    `seen` is called after every comparison.
    """
    for one, other in combinations(splits, 2):
        yield from _told(one, other, same_pictures(one.prints, other.prints))
        seen()
    for split in splits:
        if split.split != "train":
            yield from _told(split, split, twins(split.prints))
            seen()


def _told(one: Printed, other: Printed, found: Iterable[Same]) -> Iterator[SharedPictures]:
    same = list(found)
    if same:
        exact = sum(each.how == IDENTICAL for each in same)
        examples = tuple((one.prints.keys[each.one], other.prints.keys[each.other], each.how) for each in same)
        yield SharedPictures(one, other, exact, len(same) - exact, examples[:EXAMPLES])
