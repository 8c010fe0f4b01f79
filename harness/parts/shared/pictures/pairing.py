"""Which degraded picture belongs to which clean one: by names, never by order; and all that does not fit."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple
from unicodedata import normalize

from harness.core.errors import DataError, Unfit
from harness.core.text import printable
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.reading import ENDINGS

SHOWN = 20
"""Files of each kind that a report lists."""

_AGAIN = "get {them} again, or leave {them} out"
KINDS = {
    "unreadable": ("cannot be read", "what each line says; or leave {them} out"),
    "empty": ("{are} empty", _AGAIN),
    "other": (
        "{do} not end as pictures do",
        f"leave {{them}} out, or convert {{them}}; known: {' '.join(sorted(ENDINGS))}",
    ),
    "name": ("{have} a name that is no text", "rename {them}"),
    "unmatched": (
        "{have} a name that `pair` or `scene` does not match",
        "correct the expression, or leave {them} out",
    ),
    "twice": ("{have} the key of another file", "remove or leave out all but one of each key"),
    "case": (
        "{have} a name that differs from another in case only",
        "rename {them}: some disks take both for one file",
    ),
    "orphan": ("{have} no partner", "add what is missing, correct `pair`, or leave {them} out"),
    "size": ("{have} another size than the partner", "get both again, or leave the pair out"),
    "pixels": ("{have} other channels or bits than the rest", "convert {them}, or leave {them} out"),
    "values": ("{have} numbers of another scale; black is 0 and white 1", "what each line says; or leave {them} out"),
    "skip": ("{are} in `skip` and {name} no file", "correct or remove {them}"),
}
"""Kind of problem: what the report says of the files, and what to do."""

_ONE = {"are": "is", "do": "does", "have": "has", "name": "names", "them": "it"}
_MANY = {"are": "are", "do": "do", "have": "have", "name": "name", "them": "them"}


class Problem(NamedTuple):
    """A file that does not fit."""

    kind: str
    file: str
    what: str = ""
    todo: str = ""


class Sample(NamedTuple):
    """A pair, or half of one."""

    key: str
    scene: str
    lq: File | None
    gt: File | None
    truth: str | None = None
    """The clean picture's own key where several degraded ones share it."""

    @property
    def files(self) -> list[File]:
        return [file for file in (self.gt, self.lq) if file is not None]


@dataclass(frozen=True)
class Rules:
    """How names are understood. Raises ValueError for expressions that are none, or that have no group."""

    pair: str | Mapping[str, str] = "stem"
    """stem, name, none, or an expression for each side."""
    scene: str | None = None
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = {"scene": self.scene} if self.scene is not None else {}
        if not isinstance(self.pair, str):
            if set(self.pair) != {"lq", "gt"}:
                raise ValueError("pair has two expressions: {lq: REGEX, gt: REGEX}")
            given |= {f"pair.{side}": text for side, text in self.pair.items()}
        for name, text in given.items():
            try:
                groups = re.compile(text).groups
            except re.error as error:
                raise ValueError(f"{name}: {text!r} is no regular expression: {error}") from error
            if not groups:
                raise ValueError(f"{name}: {text!r} has no group; put what counts in parentheses, as low(\\d+)")

    @cached_property
    def exact(self) -> frozenset[str]:
        """The entries of `skip`, each of which may be a name."""
        return frozenset(self.skip)

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """The entries of `skip` with wildcards."""
        return tuple(entry for entry in self.skip if any(letter in entry for letter in "*?["))

    def partner_of(self, file: File) -> str | None:
        """What files of both sides have in common that belong together; None where an expression does not match."""
        if not isinstance(self.pair, str):
            return _groups(self.pair[file.side.removeprefix("test_")], file)
        return normalize("NFC", file.name) if self.pair == "name" else file.stem

    def scene_of(self, file: File) -> str | None:
        """The scene that a file shows; None where the expression does not match."""
        return file.stem if self.scene is None else _groups(self.scene, file)


def _groups(expression: str, file: File) -> str | None:
    found = re.search(expression, normalize("NFC", file.name))
    return None if found is None else "/".join(group or "" for group in found.groups())


@dataclass
class Split:
    """What two lists of files make together."""

    samples: list[Sample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[File, str] = field(default_factory=dict)
    """What is left out, and why."""
    unused: set[str] = field(default_factory=set)
    """Entries of `skip` that name none of its files."""


def paired(gt: Sequence[File], lq: Sequence[File] | None, rules: Rules) -> Split:
    """The samples of clean and degraded files (None: a data set of clean ones), in the order of their keys."""
    split = Split(unused=set(rules.skip))
    sides = [_sound(files, rules, split) for files in (lq or (), gt)]
    if lq is None or rules.pair == "none":
        for files in sides:
            kept = [file for file in files if not _skipped(file, rules, split)]
            prefix = "" if lq is None else f"{kept[0].side.removeprefix('test_')}/" if kept else ""
            _add_halves(kept, prefix, rules, split)
    else:
        _add_pairs(sides[0], sides[1], rules, split)
    split.samples.sort(key=lambda sample: sample.key)
    return split


def _sound(files: Sequence[File], rules: Rules, split: Split) -> list[File]:
    """The files that can be looked for a partner. The others are problems, unless they are left out."""
    sound = []
    for file in files:
        kind, what = _fault(file)
        if kind and not _skipped(file, rules, split, what):
            split.problems.append(Problem(kind, file.shown, what))
        if kind in ("", "unreadable", "empty"):  # these have partners all the same
            sound.append(file)
    known: dict[str, File] = {}
    for file in sound:
        if not _skipped(file, rules, split):
            other = known.setdefault(file.stem.casefold(), file)
            if other is not file:
                kind = "twice" if other.stem == file.stem else "case"
                split.problems.append(Problem(kind, file.shown, f"as {other.shown}"))
    return sound


def _fault(file: File) -> tuple[str, str]:
    """(kind, what) of what is wrong with a file by itself; empty where nothing is."""
    if any("\ud800" <= letter <= "\udfff" or not letter.isprintable() for letter in file.name):
        return "name", "its name is no text that can be printed"
    if os.path.splitext(file.path)[1].lower() not in ENDINGS:
        return "other", "its ending is no picture's"
    if file.error:
        return "unreadable", file.error
    return ("empty", "it has 0 bytes") if file.size == 0 else ("", "")


_NAMED = "named in `skip`"


def _skipped(file: File, rules: Rules, split: Split, why: str = "") -> bool:
    """Whether `skip` names the file: by its name, with or without folders, or as reports show it."""
    names = {file.shown, file.name, os.path.basename(file.path)}
    fitting = names & rules.exact
    fitting |= {entry for entry in rules.patterns if any(fnmatchcase(name, entry) for name in names)}
    split.unused -= fitting
    if fitting and split.skipped.get(file, _NAMED) == _NAMED:
        split.skipped[file] = why or _NAMED
    return bool(fitting)


def _add_halves(files: Iterable[File], prefix: str, rules: Rules, split: Split) -> None:
    for file in files:
        scene = rules.scene_of(file)
        if scene is None:
            split.problems.append(Problem("unmatched", file.shown))
            continue
        degraded = prefix == "lq/"
        split.samples.append(Sample(prefix + file.stem, scene, *((file, None) if degraded else (None, file))))


def _add_pairs(lq: Sequence[File], gt: Sequence[File], rules: Rules, split: Split) -> None:
    groups: dict[str, tuple[list[File], list[File]]] = defaultdict(lambda: ([], []))
    for side, files in enumerate((lq, gt)):
        for file in files:
            key = rules.partner_of(file)
            if key is not None:
                groups[key][side].append(file)
            elif not _skipped(file, rules, split, "`pair` does not match its name"):
                split.problems.append(Problem("unmatched", file.shown))
    for degraded, clean in groups.values():
        _add_group(degraded, clean, rules, split)


def _add_group(degraded: list[File], clean: list[File], rules: Rules, split: Split) -> None:
    """The pairs of the files that belong together. Where all of one side are left out, so are their partners."""
    orphan = not degraded or not clean
    why = "it has no partner" if orphan else ""
    sides = [[file for file in files if not _skipped(file, rules, split, why)] for files in (degraded, clean)]
    if not all(sides):
        for side, files in enumerate(sides):
            partners = (clean, degraded)[side]
            if partners and files:
                split.skipped |= dict.fromkeys(files, f"its partner {partners[0].shown} is left out")
            else:
                other = "lq" if side else "gt"
                split.problems += [Problem("orphan", file.shown, f"no {other} file belongs to it") for file in files]
        return
    lqs, gts = sides
    if len(gts) > 1 and not isinstance(rules.pair, str):
        split.problems += [Problem("twice", file.shown, f"as {gts[0].shown}") for file in gts[1:]]
    scene = rules.scene_of(gts[0])
    if scene is None:
        split.problems.append(Problem("unmatched", gts[0].shown))
        return
    truth = gts[0].stem if len(lqs) > 1 else None  # only expressions get so far with several
    split.samples += [Sample(file.stem, scene, file, gts[0], truth) for file in lqs]


def report(problems: Sequence[Problem], where: str) -> DataError:
    """All that does not fit, as one error: the first files of each kind, how many there are, and what to do."""
    counts = Counter(problem.kind for problem in problems)
    files, entries = len({problem.file for problem in problems if problem.kind != "skip"}), counts["skip"]
    said = [f"{files:,} {'file does' if files == 1 else 'files do'} not fit"] if files else []
    said += (
        [f"{entries:,} {'entry of `skip` names' if entries == 1 else 'entries of `skip` name'} no file"]
        if entries
        else []
    )
    lines = [f"{' and '.join(said)}, so nothing is prepared"]
    for kind, (title, todo) in KINDS.items():
        if not counts[kind]:
            continue
        words = _ONE if counts[kind] == 1 else _MANY
        lines.append(f"  {counts[kind]:,} {title.format(**words)} (to do: {todo.format(**words)})")
        chosen = [problem for problem in problems if problem.kind == kind]
        lines += [f"    {_line(problem)}" for problem in chosen[:SHOWN]]
        lines += [f"    and {counts[kind] - SHOWN:,} more"] if counts[kind] > SHOWN else []
    hint = "correct the entries of skip, or remove them"
    if files:
        hint = f"correct the files, or leave them out by name or pattern: skip: [{_example(problems)}]"
    return Unfit(printable("\n".join(lines)), where=where, hint=hint)


def _line(problem: Problem) -> str:
    """A file with what is wrong with it; a line break in its name is shown as its code."""
    file = problem.file.replace("\n", "\\n").replace("\t", "\\t")
    todo = f" ({problem.todo})" if problem.todo else ""
    return f"{file}{f': {problem.what}' if problem.what else ''}{todo}"


def _example(problems: Sequence[Problem]) -> str:
    first = next((problem.file for problem in problems if problem.kind not in ("skip", "name")), "lq/NAME.png")
    return f'"{printable(first)}"'
