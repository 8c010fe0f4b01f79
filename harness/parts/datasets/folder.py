"""Data set `folder`: a user's own pictures, clean ones or pairs, found and paired by their names.

`gt` and `lq` are folders or patterns (harness.parts.shared.pictures.listing) of the clean and the degraded pictures;
`test_gt` and `test_lq` are those of the test split. Without these, the share `holdout` of the scenes is the test split:
those whose names have the smallest hashes, the same on every machine.

Names are looked at when a suite is planned. Every file is decoded before the first one is prepared. All that does not
fit is one report (DataError), and nothing is prepared until it is corrected or left out by `skip`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.ranges import Share
from harness.api.reference import LocalFile
from harness.api.traits import Unless
from harness.core.errors import DataError, did_you_mean
from harness.core.identity import digest, seed
from harness.core.pixels import off_scale
from harness.parts.shared.pictures.listing import File, listed
from harness.parts.shared.pictures.looks import Look, alone, looks, sha256s
from harness.parts.shared.pictures.pairing import Problem, Rules, Sample, Split, paired, report
from harness.parts.shared.pictures.reading import read_picture

if TYPE_CHECKING:
    import numpy as np


_HOLDOUT = 0.1


class Folder:
    """Your own pictures: clean ones, pairs, or unpaired halves, in folders.

    Option `gt`: folder or pattern of the clean pictures, relative to the suite.
    Option `lq`: the same of the degraded ones; without it the task makes them.
    Option `test_gt`: the clean pictures of the test split, in place of `holdout`.
    Option `test_lq`: the degraded ones of the test split.
    Option `pair`: what belongs together: files of the same `stem` (name without ending) or `name`, or whose groups of
    `{lq: REGEX, gt: REGEX}` are equal, where several lq files may have one gt; `none`: nothing, they are unpaired.
    Option `scene`: an expression whose groups, in the name of the gt file, name the scene; without it the stem does.
    Option `holdout`: the share of the scenes that are the test split; 0: there is none, 1: all are.
    Option `skip`: names or patterns of files to leave out, as reports show them.
    """

    traits = DatasetTraits(licence="the user's own pictures", pairs=Unless("lq", None), random_access=True, skips=True)

    def __init__(
        self,
        *,
        gt: LocalFile,
        lq: LocalFile | None = None,
        test_gt: LocalFile | None = None,
        test_lq: LocalFile | None = None,
        pair: Literal["stem", "name", "none"] | dict[str, str] = "stem",
        scene: str | None = None,
        holdout: Share = 0.1,  # as _HOLDOUT; declarations are read without running them
        skip: tuple[str, ...] = (),
    ) -> None:
        if pair == "none" and lq is None:
            raise ValueError("pair: none is for degraded pictures without partners; give lq, or leave pair out")
        if (test_lq is not None) != (test_gt is not None and lq is not None):
            raise ValueError("the test split has the sides of the training split: test_gt, and test_lq where lq is")
        if gt == lq or (test_gt is not None and test_gt == test_lq):
            raise ValueError("lq and gt are one place, so every picture would be its own truth")
        if test_gt is not None and test_gt == gt:
            raise ValueError("test_gt and gt are one place, so tests would be on pictures of the training")
        if test_gt is not None and holdout != _HOLDOUT:
            raise ValueError("holdout does nothing beside test_gt, which is the test split; remove one of them")
        self.places = {"gt": gt, "lq": lq, "test_gt": test_gt, "test_lq": test_lq}
        self.rules = Rules(pair, scene, tuple(skip))
        self.holdout = holdout

    def splits(self) -> Sequence[str]:
        """train and test; one of them alone where `holdout` is 0 or 1."""
        if self.places["test_gt"] is None and self.holdout in (0, 1):
            return ("test",) if self.holdout else ("train",)
        return ("train", "test")

    def fingerprint(self) -> str:
        """Digest of the names, sizes and SHA-256 of all files that are used.

        Raises DataError for a folder that is missing, and with all that the names alone show not to fit.
        """
        found = []
        for side, place in self.places.items():
            files = list(self._used.get(side, {}).values())
            if place is not None:
                sums = sha256s(files, place)
                found += [f"{file.shown} {file.size} {sha}" for file, sha in zip(files, sums, strict=True)]
        return digest(found)

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) in the order of the keys. Raises DataError as `fingerprint`, and for an unknown split."""
        return [(sample.key, sample.scene) for sample in self._of(split)]

    def images(self, split: str) -> Iterator[SourceImage]:
        """All samples of a split. Every file is decoded before the first comes. Raises DataError with all that does not
        fit.
        """
        self.check(split)
        return map(_image, self._of(split))

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        """Chosen samples, in the order of `keys`. If they are several, every file of the split is decoded before.

        Raises DataError as `images`, and for a key that is unknown.
        """
        samples = {sample.key: sample for sample in self._of(split)}
        for key in keys:
            if key not in samples:
                hint = did_you_mean(key, samples)
                raise DataError(f"{split} has no image {key!r}", where="data set folder", hint=hint)
        if len(keys) > 1:
            self.check(split)
        return (_image(samples[key]) for key in keys)

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        """(file, why) of all that `skip` leaves out of the folders of a split, by name; those of `holdout` are of both
        splits.
        """
        self._of(split)
        return [(file.shown, why) for file, why in sorted(self._found(split).skipped.items())]

    def check(self, split: str) -> None:
        """Decodes every file of a split that is new or has changed. Raises DataError with all that does not fit."""
        if problems := self._unfit(self._of(split)):
            raise report(problems, f"data set folder, split {split}")

    def check_all(self) -> None:
        """Looks at the names and at the pixels of all splits. Raises DataError with all that does not fit, as one
        report."""
        found, named = self._named
        known = {problem.file for problem in named}
        seen = [problem for split in found.values() for problem in self._unfit(split.samples)]
        if problems := [*named, *dict.fromkeys(problem for problem in seen if problem.file not in known)]:
            raise report(problems, "data set folder")

    def _unfit(self, samples: Sequence[Sample]) -> list[Problem]:
        """All that decoding the files of samples shows not to fit."""
        lying: dict[str, dict[str, File]] = defaultdict(dict)
        for file in (file for sample in samples for file in sample.files):
            lying[str(self.places[file.side])][file.path] = file
        seen: dict[str, Look] = {}
        with ExitStack() as stack:
            for place, files in sorted(lying.items()):  # all processes hold them in one order, and each once
                stack.enter_context(alone(place))
                seen |= zip(files, looks(list(files.values()), place), strict=True)
        return _misfits(samples, seen)

    @cached_property
    def _used(self) -> dict[str, dict[str, File]]:
        """The files of every side by path, in the order of the keys, the training split first."""
        used: dict[str, dict[str, File]] = defaultdict(dict)
        for split in self.splits():
            for sample in self._of(split):
                for file in sample.files:
                    used[file.side][file.path] = file
        return used

    @cached_property
    def _listed(self) -> dict[str, Split]:
        """What is found by the folders of each split. Raises DataError with all that the names show not to fit."""
        found, problems = self._named
        if problems:
            raise report(problems, "data set folder")
        return found

    @cached_property
    def _named(self) -> tuple[dict[str, Split], list[Problem]]:
        """What is found by the folders of each split, and all that the names show not to fit."""
        found = {"train": self._paired("")}
        if self.places["test_gt"] is not None:
            found["test"] = self._paired("test_")
        problems = [problem for split in found.values() for problem in split.problems]
        unused = set.intersection(*(split.unused for split in found.values()))
        problems += [Problem("skip", entry) for entry in self.rules.skip if entry in unused]
        return found, problems

    def _paired(self, prefix: str) -> Split:
        gt, lq = self.places[f"{prefix}gt"], self.places[f"{prefix}lq"]
        assert gt is not None, prefix
        clean = listed(gt, f"{prefix}gt")
        return paired(clean, None if lq is None else listed(lq, f"{prefix}lq"), self.rules)

    def _found(self, split: str) -> Split:
        return self._listed.get(split, self._listed["train"])

    def _of(self, split: str) -> list[Sample]:
        """The samples of a split, in the order of their keys."""
        if split not in self.splits():
            hint = f"it has {', '.join(self.splits())}"
            raise DataError(f"there is no split {split!r}", where="data set folder", hint=hint)
        samples = self._found(split).samples
        if self.places["test_gt"] is None:
            held = self._held_out
            samples = [sample for sample in samples if (sample.scene in held) == (split == "test")]
        elif split == "test" and self.rules.scene is None:  # the same name in another folder is another scene
            samples = [sample._replace(scene=f"test/{sample.scene}") for sample in samples]
        if not samples:
            raise DataError(f"the split {split} has no images", where="data set folder", hint="see gt, lq and skip")
        return samples

    @cached_property
    def _held_out(self) -> frozenset[str]:
        """The scenes of the test split."""
        scenes = {sample.scene for sample in self._listed["train"].samples}
        if self.holdout in (0, 1):
            return frozenset(scenes) if self.holdout else frozenset()
        if len(scenes) < 2:
            what = f"{self.holdout:g} of {len(scenes)} scenes cannot be held out for tests"
            raise DataError(what, where="data set folder", hint="add pictures; or give test_gt, or holdout: 0")
        number = min(max(1, round(self.holdout * len(scenes))), len(scenes) - 1)
        return frozenset(sorted(scenes, key=lambda scene: (seed("holdout", scene), scene))[:number])


def _image(sample: Sample) -> SourceImage:
    """A sample with its pixels. Raises DataError for an unreadable file, and for another size than the partner's."""
    gt, lq = (_pixels(file) for file in (sample.gt, sample.lq))
    if gt is not None and lq is not None and gt.shape[:2] != lq.shape[:2]:
        raise report([_other_size(sample, gt.shape, lq.shape)], "data set folder")
    return SourceImage(sample.key, sample.scene, gt, lq, sample.truth)


def _pixels(file: File | None) -> np.ndarray | None:
    return None if file is None else read_picture(file.path)


def _misfits(samples: Sequence[Sample], seen: dict[str, Look]) -> list[Problem]:
    """All files that cannot be read, that differ from their partners in size, or from the rest in kind.

    `seen`: what is known of the files, by path.
    """
    problems: set[Problem] = set()
    kinds: dict[str, dict[str, tuple[int, str]]] = {"gt": {}, "lq": {}}
    for sample in samples:
        for file in sample.files:
            look = seen[file.path]
            if look.problem:
                problems.add(Problem("unreadable", file.shown, look.problem, look.todo))
            else:
                side = file.side.removeprefix("test_")
                if todo := off_scale(look.low, look.high, clean=side == "gt"):
                    problems.add(Problem("values", file.shown, f"from {look.low:.4g} to {look.high:.4g}", todo))
                kinds[side][file.shown] = look.channels, look.dtype
        if sample.gt is not None and sample.lq is not None:
            gt, lq = seen[sample.gt.path], seen[sample.lq.path]
            if not gt.problem and not lq.problem and gt[:2] != lq[:2]:
                problems.add(_other_size(sample, gt, lq))
    for found in filter(None, kinds.values()):
        usual = Counter(found.values()).most_common(1)[0][0]
        problems |= {
            Problem("pixels", name, f"{kind[0]} × {kind[1]}, the rest {usual[0]} × {usual[1]}")
            for name, kind in found.items()
            if kind != usual
        }
    return sorted(problems)


def _other_size(sample: Sample, gt: Sequence[object], lq: Sequence[object]) -> Problem:
    assert sample.gt is not None
    assert sample.lq is not None
    return Problem("size", sample.lq.shown, f"{lq[0]}×{lq[1]}, and {sample.gt.shown} is {gt[0]}×{gt[1]} (height×width)")
