"""The converter of the data sets of the field: what a class declares is found, checked and read in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.reference import EXAMPLE
from harness.api.source import Source
from harness.core.errors import DataError, did_you_mean
from harness.core.identity import digest
from harness.parts.shared.declared import remarks
from harness.parts.shared.declared.checks import alike, counted, decoded, missing
from harness.parts.shared.declared.examples import Marked, marked
from harness.parts.shared.declared.finding import Found, find
from harness.parts.shared.declared.grays import grays, remark
from harness.parts.shared.declared.pixels import read, read_views
from harness.parts.shared.declared.report import report
from harness.parts.shared.declared.samples import Part, part_of
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.looks import sha256s
from harness.parts.shared.pictures.pairing import Problem, Sample

if TYPE_CHECKING:
    import numpy as np


class Declared:
    """A data set that `traits.source` declares, in the folder `root`; None: as the library has it, which is not read
    by this class (harness.api.library)."""

    traits: ClassVar[DatasetTraits]

    def __init__(self, root: str | None) -> None:
        self.root = None if root is None else os.path.abspath(root)

    @property
    def facts(self) -> Source:
        """What is known of the data set."""
        assert self.traits.source is not None, type(self)
        return self.traits.source

    @property
    def is_example(self) -> bool:
        """Whether what lies in the folder is made of bundled photographs (harness.parts.shared.declared.examples)."""
        return self._marked.is_example

    @property
    def layout_name(self) -> str:
        """The layout that lies in the folder. Raises DataError where there is none."""
        return self._found.layout.name

    def splits(self) -> Sequence[str]:
        """The splits of the layout that lies in the folder, without those of which nothing is there. Raises DataError
        where there is no layout."""
        return self._found.splits

    def fingerprint(self) -> str:
        """Digest of names, sizes and SHA-256 of all files that are used, and of what is made of them; with `example-`
        before it where it is made of bundled photographs.

        Raises DataError with all that the names alone show not to fit.
        """
        said: list[object] = []
        for split, part in self._parts.items():
            files = {file.path: file for sample in part.samples for file in part.of(sample)}
            used = [*files.values(), *part.lists]
            sums = sha256s(used, self._folder)
            said += [f"{split}/{_named(file)} {file.size} {sha}" for file, sha in zip(used, sums, strict=True)]
            rules = part.files
            said.append([split, rules.reader, rules.bits, rules.views, rules.gray])
            said += [
                [sample.key, sample.scene, sample.truth, part.groups.get(sample.key, "")] for sample in part.samples
            ]
        return (EXAMPLE if self.is_example else "") + digest(said)

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) in the order of the keys. Raises DataError as `fingerprint`, and for an unknown split."""
        return [(sample.key, sample.scene) for sample in self._part(split).samples]

    def images(self, split: str) -> Iterator[SourceImage]:
        """All samples of a split. Raises DataError as `fingerprint`, and for a file that cannot be read."""
        part = self._part(split)
        return (self._image(sample, part) for sample in part.samples)

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        """Chosen samples, in the order of `keys`. Raises DataError as `images`, and for a key that is unknown."""
        part = self._part(split)
        samples = {sample.key: sample for sample in part.samples}
        for key in keys:
            if key not in samples:
                hint = did_you_mean(key, samples)
                raise DataError(f"{split} has no image {key!r}", where=self.facts.title, hint=hint)
        return (self._image(samples[key], part) for key in keys)

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        """(file, why) of the files that lie among those of a split and are no pictures."""
        return sorted(self._part(split).skipped)

    def check_names(self) -> list[str]:
        """Looks at the names of all splits, and at their numbers; no picture is decoded. Gives what is to be remarked.

        Raises DataError with all that does not fit, as one report.
        """
        parts, problems = self._named
        counts, warnings = self._counted(parts)
        if found := [*problems, *counts, *alike(parts, self._folder)]:
            raise report(found, self.facts.title, self._folder)
        return warnings

    def check_all(self) -> list[str]:
        """Looks at the names and at the pixels of all splits, and at their numbers. Gives what is to be remarked.

        Raises DataError with all that does not fit, as one report.
        """
        parts, problems = self._named
        counts, warnings = self._counted(parts)
        known = {problem.file for problem in problems}
        seen = [problem for problem in decoded(parts, self._folder) if problem.file not in known]
        if found := [*problems, *counts, *alike(parts, self._folder), *seen]:
            raise report(found, self.facts.title, self._folder)
        listed = {split: part for split, part in parts.items() if part.files.reader == "picture"}
        return [*warnings, *(text for split, part in listed.items() for text in remark(split, part, self._grays(part)))]

    @property
    def _folder(self) -> str:
        if self.root is None:
            what = f"{self.facts.title} is read from its prepared images, and this asks for its files"
            raise DataError(what, hint="bench data prepare NAME --from DIR")
        return self.root

    @cached_property
    def _found(self) -> Found:
        return find(self._folder, self.facts)

    @property
    def _named(self) -> tuple[dict[str, Part], list[Problem]]:
        """Every split, and all that does not fit before any file is decoded."""
        parts, problems = self._listed
        return parts, [*problems, *self._marked.problems]

    @cached_property
    def _listed(self) -> tuple[dict[str, Part], list[Problem]]:
        """Every split, and all that the names alone show not to fit."""
        found = self._found
        start = os.path.join(self._folder, found.base) if found.base else self._folder
        first = next(iter(found.layout.splits))
        parts = {split: part_of(found, split, start, "" if split == first else f"{split}/") for split in found.splits}
        problems = [*missing(found, start), *found.problems]
        return parts, [*problems, *(problem for part in parts.values() for problem in part.problems)]

    def _counted(self, parts: dict[str, Part]) -> tuple[list[Problem], list[str]]:
        """Numbers that do not fit, and all that is to be remarked."""
        counts, warnings = ([], []) if self.is_example else counted(self.facts, parts)
        found = self._found
        if not self.is_example:
            warnings += remarks.absent(self.facts, found)
        warnings += [*remarks.passed(found), *remarks.outside(parts, self._folder), *remarks.left(found, self._folder)]
        return counts, [*warnings, *(remark for part in parts.values() for remark in part.remarks)]

    @cached_property
    def _marked(self) -> Marked:
        return marked(self._listed[0], self._found.paths, self._folder)

    @property
    def _parts(self) -> dict[str, Part]:
        parts, problems = self._named
        if problems:
            raise report(problems, self.facts.title, self._folder)
        return parts

    def _part(self, split: str) -> Part:
        if split not in self.splits():
            hint = f"it has {', '.join(self.splits())}"
            raise DataError(f"there is no split {split!r}", where=self.facts.title, hint=hint)
        return self._parts[split]

    def _read(self, file: File, sample: Sample, part: Part) -> np.ndarray:
        def is_colour() -> bool:
            return file.path in self._grays(part)

        return read(file, sample.key, part.files, is_colour)

    def _grays(self, part: Part) -> frozenset[str]:
        if part.grays is None:
            part.grays = grays(part, self._folder)
        return part.grays

    def _image(self, sample: Sample, part: Part) -> SourceImage:
        right = part.rights.get(sample.key)
        gt = None if sample.gt is None else self._read(sample.gt, sample, part)
        lq = None
        if sample.lq is not None:
            left = self._read(sample.lq, sample, part)
            lq = read_views(left, None if right is None else self._read(right, sample, part))
        if gt is not None and lq is not None and gt.shape[:2] != lq.shape[:2]:
            what = f"the images of {sample.key!r} differ in size: {lq.shape[:2]} and {gt.shape[:2]}"
            raise DataError(what, where=self.facts.title, hint="get both again")
        return SourceImage(sample.key, sample.scene, gt, lq, sample.truth, part.groups.get(sample.key, ""))


def _named(file: File) -> str:
    """A file's name in the fingerprint: the same wherever the layout lies, in each Unicode form, and with each ending
    of a picture. Arrays are told apart, as their channels may be in another order."""
    return f"{file.side}/{file.stem}{'.npy' if file.path.lower().endswith('.npy') else ''}"
