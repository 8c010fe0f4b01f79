"""`bench data audit`: which pictures the data sets of a suite share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.api.asking import keys_of, opened, splits_of
from harness.api.dataset import Dataset
from harness.api.library import DATASETS, library, read_note
from harness.api.reference import PartRef
from harness.cells.overlaps import shared_splits, trained_on
from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import DataPlaceOption, OutOption, SetOption, SuiteArgument
from harness.cli.data_common import Form, FormOption
from harness.cli.subject import read_suite
from harness.cli.tables import show
from harness.core.errors import DataError, HarnessError
from harness.core.registry import Registry
from harness.planning.unprepared import Unprepared, unprepared
from harness.spec.notes import called

if TYPE_CHECKING:
    from rich.progress import Progress

    from harness.data.shared_pictures import Printed, SharedPictures


AllOption = Annotated[
    bool, typer.Option("--all", help="Look at the test splits of all that the library has, too, not the suite's alone.")
]


def audit(
    suite: SuiteArgument,
    out: OutOption = None,
    data: DataPlaceOption = None,
    set_: SetOption = None,
    every: AllOption = False,
    form: FormOption = Form.table,
) -> int:
    """Find the pictures that data sets of a suite share: equal or nearly so, mirrored or turned, in any two splits.

    Crops of pictures are not found. Exit code 1 when a network would be tested on pictures that it was trained on,
    3 when a data set could not be looked at.
    """
    subject = read_suite(suite, out, [*(set_ or ()), "allow_overlap=true"])
    resolved, registry = subject.suites[0]
    found = _Audit(resolved, registry, subject.layout.data)
    if every:
        found.others = [ref for ref in _in_library(registry) if ref not in found.datasets]
    found.run()
    if form is Form.json:
        typer.echo(json.dumps(found.content(), indent=1, ensure_ascii=False))
    else:
        found.show()
    leaks = any(each["leak"] for each in (*found.shared, *found.known))
    return exits.code_of_run(failed=leaks, blocked=bool(found.missing or found.unread))


@dataclass
class _Audit:
    """What is compared, and what came of it."""

    suite: ResolvedSuite
    registry: Registry
    data: Path
    others: Sequence[PartRef] = ()
    """Data sets that the suite does not use, and whose splits but `train` are compared, too."""
    splits: list[Printed] = field(default_factory=list)
    shared: list[dict[str, Any]] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)
    missing: list[Unprepared] = field(default_factory=list)
    unread: list[dict[str, str]] = field(default_factory=list)
    """Splits that are here and cannot be read."""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.tested = {
            (train.model_dump_json(), test.dataset.model_dump_json(), test.split)
            for entry in self.suite.cells
            for train in trained_on(entry.cell)
            for test in entry.tests
        }
        """Which test sets are scored by networks that were trained on what."""

    @property
    def datasets(self) -> list[PartRef]:
        """All that cells of the suite are trained or tested on, each once."""
        entries = self.suite.cells
        named = [part for each in entries for part in (each.cell.train, *(test.dataset for test in each.tests))]
        return list({part.model_dump_json(): part for part in named}.values())

    def run(self) -> None:
        """Takes the prints that are lacking, and compares all splits."""
        from harness.data.shared_pictures import shared_pictures

        began = monotonic()
        self.missing = unprepared(self.suite.cells, self.registry)
        gone = {each.name for each in self.missing}
        with _Progress() as progress:
            for ref in self.datasets:
                if ref.name not in gone:
                    self._look_at(ref, progress)
            for ref in self.others:
                self._look_at(ref, progress, without="train")
            tested = sum(each.split != "train" for each in self.splits)
            pairs = len(self.splits) * (len(self.splits) - 1) // 2 + tested
            compared = progress.task("comparing", pairs)
            for each in shared_pictures(self.splits, compared):
                self.shared.append(self._found(each))
        self.known = list(self._declared())
        self.seconds = monotonic() - began

    def _look_at(self, ref: PartRef, progress: _Progress, without: str = "") -> None:
        try:
            dataset: Dataset = opened(self.registry, ref.name, ref.arguments)
            splits = splits_of(dataset)
        except HarnessError as error:
            self.unread.append({"dataset": called(ref, self.suite), "split": "", "why": error.what})
            return
        for split in (each for each in splits if each != without):
            try:
                self.splits.append(self._printed(dataset, ref, split, progress))
            except HarnessError as error:
                self.unread.append({"dataset": called(ref, self.suite), "split": split, "why": error.what})

    def _printed(self, dataset: Dataset, ref: PartRef, split: str, progress: _Progress) -> Printed:
        from harness.data.prints import kept_prints, take_prints
        from harness.data.shared_pictures import Printed

        prints = kept_prints(ref, split, self.data)
        if prints is None:
            seen = progress.task(f"reading {called(ref, self.suite)}/{split}", len(keys_of(dataset, split)))
            prints = take_prints(dataset, ref, split, self.data, seen)
        return Printed(ref, split, prints, called(ref, self.suite))

    def _is_leak(self, one: PartRef, split: str, other: PartRef, other_split: str) -> bool:
        """Whether a network is tested on one of two splits that was trained on the other."""
        ways = ((one, split, other, other_split), (other, other_split, one, split))
        return any(
            trained == "train" and (train.model_dump_json(), test.model_dump_json(), tested) in self.tested
            for train, trained, test, tested in ways
        )

    def _found(self, each: SharedPictures) -> dict[str, Any]:
        one, other = each.one, each.other
        return {
            "one": one.called,
            "other": other.called,
            "exact": each.exact,
            "near": each.near,
            "examples": [dict(zip(("one", "other", "how"), example, strict=True)) for example in each.examples],
            "leak": one is not other and self._is_leak(one.dataset, one.split, other.dataset, other.split),
        }

    def _declared(self) -> Iterator[dict[str, Any]]:
        """The overlaps that the data sets themselves declare, of sets that are not prepared, too."""
        sets = self.datasets
        for place, one in enumerate(sets):
            for other in sets[place + 1 :]:
                for split, other_split, why in shared_splits(one.name, other.name, self.registry):
                    names = {"one": f"{one.called}/{split}", "other": f"{other.called}/{other_split}", "why": why}
                    yield names | {"leak": self._is_leak(one, split, other, other_split)}

    def content(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "suite": self.suite.name,
            "splits": [{"split": each.called, "images": len(each.prints)} for each in self.splits],
            "shared": self.shared,
            "known": self.known,
            "not_prepared": [vars(each) for each in self.missing],
            "not_read": self.unread,
            "seconds": round(self.seconds, 3),
        }

    def show(self) -> None:
        """All of it, for people."""
        if self.shared:
            titles = ("", "one", "other", "equal", "nearly equal", "for example")
            show("", titles, map(_row, self.shared))
        for each in self.known:
            mark = "leak" if each["leak"] else "known"
            typer.echo(f"{mark}: {each['one']} and {each['other']} share pictures: {each['why']}")
        for missing in self.missing:
            typer.echo(f"{missing.state}: {missing}")
        for unread in self.unread:
            name = "/".join(filter(None, (unread["dataset"], unread["split"])))
            typer.echo(f"not compared: {name}: {unread['why']}")
        images = sum(len(each.prints) for each in self.splits)
        leaks = sum(each["leak"] for each in (*self.shared, *self.known))
        counted = "1 leak" if leaks == 1 else f"{leaks} leaks"
        what = f"{counted}: a network would be tested on what it was trained on" if leaks else "no leak"
        typer.echo(f"{self.suite.name}: {images:,} images of {len(self.splits)} splits, {self.seconds:.1f} s: {what}")


def _in_library(registry: Registry) -> Iterator[PartRef]:
    """The data sets that are in use in the library, by name."""
    for file in sorted((library() / DATASETS).glob("[!.]*.json")):
        try:
            note = read_note(file.stem, library()) if file.stem in registry.names("dataset") else None
        except DataError as error:
            typer.echo(f"warning: {error}", err=True)
            continue
        if note is not None:
            yield note.dataset


def _row(found: dict[str, Any]) -> Sequence[str]:
    kind = "leak" if found["leak"] else "twice" if found["one"] == found["other"] else "shared"
    examples = "; ".join(f"{each['one']} and {each['other']} ({each['how']})" for each in found["examples"])
    return kind, found["one"], found["other"], f"{found['exact']:,}", f"{found['near']:,}", examples


class _Progress:
    """A bar for each task in a terminal; elsewhere a line when one begins. It goes to standard error."""

    def __init__(self) -> None:
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> _Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def task(self, title: str, total: int) -> Any:
        """Begins a task; the function that is given is to be called after each step."""
        if self._bar is None:
            typer.echo(f"{title}: {total:,}", err=True)
            return lambda: None
        bar, task = self._bar, self._bar.add_task(title, total=total)
        return lambda: bar.advance(task)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
