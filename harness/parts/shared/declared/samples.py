"""The samples of a split: which of the files that its patterns find are of it, and which belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.api.source import Files
from harness.parts.shared.declared.finding import Found
from harness.parts.shared.declared.groups import Groups
from harness.parts.shared.declared.matlab import block_keys
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.pairing import Problem, Rules, Sample, paired
from harness.parts.shared.pictures.reading import ENDINGS


@dataclass
class Part:
    """One split as it lies there."""

    files: Files
    samples: list[Sample] = field(default_factory=list)
    rights: dict[str, File] = field(default_factory=dict)
    """Of two views: the right one of every sample, by key; `Sample.lq` is the left one."""
    groups: dict[str, str] = field(default_factory=dict)
    """The group of every sample that has one, by key."""
    lists: list[File] = field(default_factory=list)
    """Files that say the groups."""
    grays: frozenset[str] | None = None
    """Paths of the gray pictures that are read as colour ones; None: not yet looked at."""
    remarks: list[str] = field(default_factory=list)
    """What is no mistake, but to be known."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def of(self, sample: Sample) -> list[File]:
        """The files of a sample."""
        right = self.rights.get(sample.key)
        return [*sample.files, *([] if right is None else [right])]


def part_of(found: Found, split: str, start: str, prefix: str) -> Part:
    """A split of a layout. `start`: the folder from which its patterns start. `prefix`: before the names of scenes
    where a data set declares none, as the same name in another split is another scene."""
    files = found.layout.splits[split]
    part = Part(files)
    if any(missing == split for missing, _ in found.missing):
        return part  # its partners would all be orphans
    sides = {side: listed for (of, side), listed in found.files.items() if of == split}
    if files.reader == "mat_blocks":
        _add_blocks(part, sides, prefix)
    else:
        _add_files(part, sides, prefix)
    if not part.samples and not part.problems:
        what = "of all images that are there, none is of this split"
        part.problems.append(Problem("place", split, f"{what}: {_some(sides)}"))
    groups = Groups(files.groups, start)
    part.groups, part.lists = groups.of(part.samples)
    part.problems += groups.problems
    part.remarks += groups.remarks
    return part


def _some(sides: dict[str, list[File]]) -> str:
    """The first files of any side."""
    names = [file.shown for files in sides.values() for file in files]
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _add_blocks(part: Part, sides: dict[str, list[File]], prefix: str) -> None:
    known: dict[str, tuple[list[str], str]] = {}
    for side, listed in sides.items():
        part.problems += [Problem("twice", file.shown, f"as {listed[0].shown}") for file in listed[1:]]
        if listed[0].error:
            part.problems.append(Problem("unreadable", listed[0].shown, listed[0].error))
            continue
        try:
            known[side] = block_keys(listed[0].path)
        except (ValueError, OSError) as error:
            part.problems.append(Problem("array", listed[0].shown, str(error)))
    if part.problems:
        return
    gt, lq = (sides[side][0] if side in sides else None for side in ("gt", "lq"))
    forms = {side: form for side, (_, form) in known.items()}
    if lq is not None and gt is not None and forms["lq"] != forms["gt"]:
        part.problems.append(Problem("array", lq.shown, f"it has {forms['lq']}, and {gt.shown} {forms['gt']}"))
        return
    keys, _ = next(iter(known.values()))
    part.samples = [Sample(key, prefix + key.partition("-")[0], lq, gt) for key in keys]


def _add_files(part: Part, sides: dict[str, list[File]], prefix: str) -> None:
    rules = _rules(part.files)
    chosen = {side: _chosen(listed, rules, part) for side, listed in sides.items()}
    lq = chosen.get("lq", chosen.get("lq1"))
    gt = chosen.get("gt")
    if part.files.frames is not None and lq is not None:
        lq, gt = _first_frames(lq, gt, part.files.frames, rules)
    if part.files.first_gt and gt is not None:
        gt = _first_of_each(gt, rules)
    if part.files.spare_gt and lq is not None and gt is not None:
        wanted = {rules.partner_of(file) for file in lq}
        gt = [file for file in gt if rules.partner_of(file) in wanted]
    if part.files.pair == "order" and lq is not None and gt is not None:
        lq = _ordered(lq, gt, part)
        if part.files.views:
            chosen["lq2"] = _ordered(chosen["lq2"], gt, part) if gt else []
    if gt is None:
        assert lq is not None
        split = paired(lq, None, rules)
        samples = [sample._replace(lq=sample.gt, gt=None) for sample in split.samples]
    else:
        split = paired(gt, lq, rules)
        samples = split.samples
    part.problems += split.problems
    if not part.files.scene:
        samples = [sample._replace(scene=prefix + sample.scene) for sample in samples]
    part.samples = samples
    if part.files.views:
        _add_rights(part, chosen["lq2"])


def _rules(files: Files) -> Rules:
    pair = files.pair
    if isinstance(pair, tuple):
        return Rules({"lq": pair[0], "gt": pair[1]}, files.scene or None)
    return Rules("stem" if pair == "order" else pair, files.scene or None)


def _chosen(listed: Iterable[File], rules: Rules, part: Part) -> list[File]:
    """The files of one side that are of the split."""
    files, chosen = part.files, []
    for file in listed:
        if os.path.splitext(file.path)[1].lower() not in ENDINGS:
            part.skipped.append((file.shown, "its ending is no picture's"))
        elif _named(file, files) and (not (files.scenes or files.not_scenes) or _in_scenes(file, rules, part)):
            chosen.append(file)
    return chosen


def _named(file: File, files: Files) -> bool:
    """Whether the name says that a file is of the split."""
    if files.only and not re.search(files.only, file.name):
        return False
    return not (files.without and re.search(files.without, file.name))


def _in_scenes(file: File, rules: Rules, part: Part) -> bool:
    scene = rules.scene_of(file)
    if scene is None:
        part.problems.append(Problem("unmatched", file.shown, "it names no scene"))
        return False
    if part.files.scenes:
        return scene in part.files.scenes
    return scene not in part.files.not_scenes


def _first_frames(
    lq: list[File], gt: list[File] | None, number: int, rules: Rules
) -> tuple[list[File], list[File] | None]:
    """The first degraded files of every folder, and the clean ones without those of the others."""
    kept: list[File] = []
    counts: dict[str, int] = {}
    away = set()
    for file in lq:
        folder = os.path.dirname(file.path)
        counts[folder] = counts.get(folder, 0) + 1
        if counts[folder] <= number:
            kept.append(file)
        else:
            away.add(rules.partner_of(file))
    away -= {rules.partner_of(file) for file in kept}
    return kept, gt if gt is None else [file for file in gt if rules.partner_of(file) not in away]


def _first_of_each(gt: list[File], rules: Rules) -> list[File]:
    """Of the clean files that belong together the first by name; all that belong to nothing, to be reported."""
    first: dict[str, File] = {}
    lost = []
    for file in gt:
        partner = rules.partner_of(file)
        if partner is None:
            lost.append(file)
        else:
            first.setdefault(partner, file)
    return [*first.values(), *lost]


def _ordered(lq: list[File], gt: list[File], part: Part) -> list[File]:
    """The degraded files with the stems of the clean ones in their places, so that they make pairs."""
    endings = [sorted({os.path.splitext(file.path)[1] for file in files}) for files in (lq, gt)]
    sound = len(lq) == len(gt) and all(len(found) == 1 for found in endings)
    if not sound:
        what = f"pairs are made by order, and there are {len(lq):,} ({', '.join(endings[0])}) for "
        what += f"{len(gt):,} ({', '.join(endings[1])})"
        folder = os.path.dirname(lq[0].shown) if lq else os.path.dirname(gt[0].shown) if gt else "?"
        part.problems.append(Problem("orphan", folder, what))
        gt.clear()
        return []
    pairs = list(zip(lq, gt, strict=True))
    if part.files.apart is not None:
        far = next((pair for pair in pairs if _apart(*pair) > part.files.apart), None)
        if far is not None:
            what = f"its number is far from that of {far[1].shown}, to which it belongs by order"
            part.problems.append(Problem("orphan", far[0].shown, f"{what}: a file before them is missing"))
    return [file._replace(stem=clean.stem) for file, clean in pairs]


def _apart(lq: File, gt: File) -> int:
    """By how much the last numbers in two names differ; 0 where one has none."""
    numbers = [re.findall(r"\d+", file.stem) for file in (lq, gt)]
    return abs(int(numbers[0][-1]) - int(numbers[1][-1])) if all(numbers) else 0


def _add_rights(part: Part, rights: list[File]) -> None:
    """The right view of every sample, which has the name of the left one."""
    by_name = {file.stem: file for file in rights}
    for sample in part.samples:
        assert sample.lq is not None
        right = by_name.pop(sample.lq.stem, None)
        if right is None:
            part.problems.append(Problem("orphan", sample.lq.shown, "it has no right view"))
        else:
            part.rights[sample.key] = right
            part.problems += [Problem("empty", right.shown, "it has 0 bytes")] if not right.size else []
    part.problems += [Problem("orphan", file.shown, "it has no left view") for file in by_name.values()]
