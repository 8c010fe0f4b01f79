"""The groups of a split, that have averages of their own: by the names of their images, or by lists of numbers."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence

from harness.api.source import Group
from harness.core.paths import unread
from harness.core.text import shortened
from harness.parts.shared.pictures.listing import File, listed_in
from harness.parts.shared.pictures.pairing import Problem, Sample
from harness.parts.shared.pictures.reading import numbers_in

_LARGEST = 10 << 20
"""Bytes of a list that is read."""


class Groups:
    """The groups of a split, whose lists lie in the folder `start`."""

    def __init__(self, groups: Sequence[Group], start: str) -> None:
        self.groups, self.start = groups, start
        self.problems: list[Problem] = []
        self.remarks: list[str] = []

    def of(self, samples: Sequence[Sample]) -> tuple[dict[str, str], list[File]]:
        """The group of every sample that has one, by key, and the lists that say it. What does not fit, `problems`
        has."""
        ordered = sorted(samples, key=_name)
        groups: dict[str, str] = {}
        lists: list[File] = []
        for group in self.groups:
            if group.file:
                chosen = self._listed(group, ordered, lists)
            else:
                chosen = [sample for sample in ordered if re.search(group.names, _name(sample))]
            for sample in chosen:
                other = groups.setdefault(sample.key, group.name)
                if other != group.name:
                    self.problems.append(Problem("group", _name(sample), f"it is in {other} and in {group.name}"))
        if self.groups and len(lists) == len(self.groups) and not self.problems:  # all have lists, which are here
            what = f"it is in none of {', '.join(file.shown for file in lists)}"
            left = [_name(sample) for sample in ordered if sample.key not in groups]
            self.problems += [Problem("group", name, what) for name in left]
        return groups, lists

    def _listed(self, group: Group, ordered: list[Sample], lists: list[File]) -> list[Sample]:
        """The samples that a file names by their places."""
        found = listed_in(self.start, group.file, "list")
        if not found:
            what = f"there is no such file, which says the group {group.name}"
            if group.needed:
                self.problems.append(Problem("group", group.file, what))
            else:
                self.remarks.append(f"{group.file}: {what}, so there is none")
            return []
        lists.append(found[0]._replace(label=group.file))
        if found[0].error:
            self.problems.append(Problem("group", group.file, found[0].error))
            return []
        try:
            numbers = _numbers(found[0].path)
        except OSError as error:
            self.problems.append(Problem("group", group.file, unread(error)))
            return []
        except ValueError as error:
            self.problems.append(Problem("group", group.file, str(error)))
            return []
        places = [number - group.first for number in numbers]
        if outside := [place + group.first for place in places if not 0 <= place < len(ordered)]:
            last = group.first + len(ordered) - 1
            named = shortened(str(outside[0]), 30)
            what = f"it names image {named}, and the images are {group.first} to {last}"
            self.problems.append(Problem("group", group.file, what))
        if twice := [number for number, count in Counter(numbers).items() if count > 1]:
            what = f"it names image {shortened(str(twice[0]), 30)} more than once"
            self.problems.append(Problem("group", group.file, what))
        return [ordered[place] for place in places if 0 <= place < len(ordered)]


def _name(sample: Sample) -> str:
    file = sample.gt or sample.lq
    assert file is not None
    return file.name


def _numbers(path: str) -> list[int]:
    """The whole numbers of an .npy file, or of a text with one a line. Raises ValueError for another content."""
    import numpy as np

    if os.path.getsize(path) > _LARGEST:
        raise ValueError("it is no list of numbers: it is too large")
    if path.lower().endswith(".npy"):
        with open(path, "rb") as file:
            array = numbers_in(file.read()).ravel()
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all() or (array != np.floor(array)).any():
            raise ValueError(f"its numbers are {array.dtype}, not whole ones")
        return [int(number) for number in array]
    try:
        with open(path, encoding="utf-8") as text:
            return [int(line) for line in text if line.strip()]
    except ValueError as error:
        raise ValueError(f"it is no list of numbers, one a line: {shortened(str(error), 100)}") from error
