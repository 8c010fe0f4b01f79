"""How many cells a suite asks for, counted before any is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from harness.core.errors import Problem
from harness.core.yaml import Path
from harness.spec.schema import AXES, Block, SuiteFile

MAX_CELLS = 20_000
"""Cells that one suite may list, before its `exclude` rules."""


def too_many(suite: SuiteFile) -> Problem | None:
    """The mistake of a suite that is too large, at its largest block; None for any other one."""
    blocks = [_factors(suite, block) for block in suite.blocks]
    counts = [_product(factors) for factors in blocks]
    if sum(counts) <= MAX_CELLS:
        return None
    largest = counts.index(max(counts))
    factors = " × ".join(f"{name} {count:,}" for name, count in blocks[largest].items() if count > 1)
    here = f"this block alone {counts[largest]:,}: " if len(counts) > 1 else ""
    what = f"the suite has {sum(counts):,} cells, and at most {MAX_CELLS:,} are possible ({here}{factors})"
    return suite.problem(("blocks", largest), what, "take fewer values or seeds, or split it into several suites")


def repeated(suite: SuiteFile) -> Iterator[tuple[Path, str]]:
    """Where a seed, or a value of a matrix, stands for the second time, and which one.

    Two recipes, or variants, that differ by their labels alone are told by those.
    """
    for index, block in enumerate(suite.blocks):
        for axis in AXES:
            values = list(getattr(block.matrix, axis) or ()) if block.matrix else []
            for place, value in enumerate(values):
                first = values.index(value)
                at = [("blocks", index, "matrix", axis, each) for each in (first, place)]
                if first < place and all(map(suite.is_whole, at)):  # what was left out for a mistake made them equal
                    what = f"this {axis} is given twice: it is item {first}, too"
                    yield ("blocks", index, "matrix", axis, place), what
    yield from _repeated_seeds(suite)


def _repeated_seeds(suite: SuiteFile) -> Iterator[tuple[Path, str]]:
    owners: list[tuple[Path, tuple[int, ...] | None]] = [(("defaults",), suite.defaults.seeds)]
    owners += [(("blocks", index), block.seeds) for index, block in enumerate(suite.blocks)]
    for path, seeds in owners:
        first: dict[int, int] = {}
        for place, seed in enumerate(seeds or ()):
            if seed in first:
                yield (*path, "seeds", place), f"the seed {seed} is given twice: it is item {first[seed]}, too"
            first.setdefault(seed, place)


def _factors(suite: SuiteFile, block: Block) -> Mapping[str, int]:
    """What the cells of a block are the product of."""
    factors: Counter[str] = Counter()
    for axis in AXES:
        factors[axis] = len(getattr(block.matrix, axis) or ()) if block.matrix else 0
    factors["zip"] = max((len(getattr(block.zip, axis) or ()) for axis in AXES), default=0) if block.zip else 0
    factors["seeds"] = len(block.seeds or suite.defaults.seeds or ())
    return factors


def _product(factors: Mapping[str, int]) -> int:
    found = 1
    for count in factors.values():
        found *= max(1, count)
    return found
