"""`bench data prepare`: a data set of the field that was downloaded is prepared, once for all suites."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.api.asking import fingerprint_of, keys_of, opened, splits_of
from harness.api.declaration import declaration
from harness.api.library import Note, library, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cli import exits
from harness.cli.clean import size
from harness.cli.common import check_address, folder_named
from harness.cli.data_common import (
    LibraryOption,
    NameArgument,
    PluginOption,
    field_set,
    library_folder,
    registry_with,
    told_where,
)
from harness.cli.data_use import ReplaceOption, check_replaces, in_use, told_replaced
from harness.cli.exits import WrongArgument
from harness.cli.preparing import PreparingDisplay
from harness.cli.run import AddressOption, start_executor
from harness.core.errors import DataError, HarnessError
from harness.core.guests import fault
from harness.core.paths import PLACE_OPTION, Layout, below, remove_away
from harness.core.registry import Registry
from harness.core.text import shown_name
from harness.parts.shared.declared.base import Declared
from harness.planning.job import ShardsWork
from harness.planning.plan import Plan
from harness.planning.preparing import plan_of_sets

if TYPE_CHECKING:
    from harness.scheduling.drive import RunSummary

FEW = 512
"""Images up to which the work is done before other workers would have started."""

FromOption = Annotated[
    Path,
    typer.Option("--from", metavar="DIR", parser=folder_named, help="The unpacked archive, or the folder around it."),
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="Then copy it to a store such as s3://bucket/sets.")
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="ray|local",
        help=f"Ray workers, or this process. Default: ray above {FEW} images.",
    ),
]


def prepare(
    name: NameArgument,
    from_: FromOption,
    to: ToOption = None,
    folder: LibraryOption = None,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    plugin: PluginOption = None,
    replace: ReplaceOption = False,
) -> int:
    """Check a data set of the field that you downloaded, and prepare it for all suites. Ctrl-C stops it; the same
    command goes on.

    All that does not fit is one report, and nothing of it is put in use then.
    """
    registry = registry_with(plugin)
    field_set(name, registry)
    if executor is not None:
        registry.get("executor", executor)
    check_address(address)
    if not os.path.isdir(from_.expanduser()):
        what, hint = "there is no such folder", "the folder that holds the unpacked archives"
        if os.path.lexists(from_.expanduser()):
            what = "this is no folder"
            hint = f"if it is an archive, unpack {shown_name(from_.name, 200)} first, and give the folder that it makes"
        raise WrongArgument(what, where=f"--from {shown_name(str(from_), 200)}", hint=hint)
    place = library_folder(folder)
    token = PLACE_OPTION.set("--data")
    try:
        work = _Preparing(name, from_.expanduser().absolute(), place, registry, plugin or [])
        if not replace:
            check_replaces(work.ref, work.counts, place, f"bench data prepare {name} --from DIR --replace")
        code = work.done(executor, address)
    finally:
        PLACE_OPTION.reset(token)
    if code == exits.DONE and to is not None:
        _push(work.sets, place, to)
    return code


class _Preparing:
    """One data set on its way into a library."""

    def __init__(self, name: str, root: Path, place: Path, registry: Registry, plugins: Sequence[Path]) -> None:
        self.name, self.place, self.registry = name, place, registry
        self.plugins = [str(file.absolute()) for file in plugins]
        part = opened(registry, name, {"root": str(root)})
        if not isinstance(part, Declared):
            hint = "class Mine(Declared): harness.parts.shared.declared"
            raise fault(part, "declares where its files come from, and is no data set that reads them by it", hint)
        self.dataset = part
        self.warnings = self._checked()
        version = declaration(registry, "dataset", name).version
        self.ref = PartRef(name=name, version=version, digest=fingerprint_of(part))
        here = self.ref.model_copy(update={"files": {"root": str(root)}})
        self.counts = {split: len(keys_of(part, split)) for split in splits_of(part)}
        self.sets = [PreparedSet(dataset=here, split=split) for split in self.counts]
        self.written: list[PreparedSet] = []
        """The sets that this call makes and that no note names."""
        self.layout = Layout(below(place, "preparing", name), place)

    @property
    def counted(self) -> str:
        """`485 train, 15 test images`."""
        return f"{', '.join(f'{number:,} {split}' for split, number in self.counts.items())} images"

    def done(self, executor: str | None, address: str | None) -> int:
        """Does what is left to do, and puts the data set in use. Gives the exit code."""
        from harness.records.lock import run_lock

        typer.echo(f"{self.ref.called}: {self.dataset.layout_name} layout, {self.counted}")
        with run_lock(self.layout):
            plan = plan_of_sets(f"prepare {self.name}", self.sets, self.layout, self.registry, self.plugins)
            before = in_use(self.name, self.place)
            if not plan.to_run and before is not None and before.dataset == self.ref:
                typer.echo(f"nothing to do: it is prepared already in {self.place}")
                return exits.DONE
            if before is None or before.dataset != self.ref:
                self.written = _made_anew(plan)
            summary = self._run(plan, executor, address) if plan.to_run else None
            if summary is not None and (summary.failures or summary.not_run):
                return self._failed(summary)
            self._check_kinds()
            self.warnings += self._shared_pictures()
            note = Note(
                dataset=self.ref, splits=self.counts, layout=self.dataset.layout_name, warnings=tuple(self.warnings)
            )
            write_note(note, self.place)
            with suppress(HarnessError):
                remove_away(self.layout.out / "jobs")
        self._tell(before, summary)
        return exits.DONE

    def _checked(self) -> list[str]:
        """What names and numbers give to remark. Raises DataError with all that does not fit: when names show
        anything, with what the pixels show, too."""
        try:
            return self.dataset.check_names()
        except DataError:
            self.dataset.check_all()
            raise

    def _run(self, plan: Plan, executor: str | None, address: str | None) -> RunSummary:
        from harness.scheduling.drive import drive

        sets = [(stored, self.counts[stored.split]) for stored in self.sets]
        display = PreparingDisplay(sets, self.place, _made_anew(plan))
        chosen = executor or ("ray" if address is not None or display.left > FEW else "local")
        tracker = self.registry.load("tracker", "none")(None, self.layout, self.name)
        return drive(plan, start_executor(chosen, address), tracker, self.layout, display, last=("storage",))

    def _failed(self, summary: RunSummary) -> int:
        """Raises DataError with all that does not fit in the pictures, if that is why jobs failed; else tells of the
        jobs."""
        if any(failure.kind == "data" for failure in summary.failures):
            self._check_pixels()
        typer.echo(f"{len(summary.failures)} failed:", err=True)
        for failure in summary.failures:
            message = failure.message.replace("\n", "\n    ")
            typer.echo(f"  {failure.title} · {failure.kind} · {message}\n    log: {failure.log or 'none'}", err=True)
        typer.echo("the same command goes on with what is left", err=True)
        return exits.FAILED

    def _check_pixels(self) -> None:
        """Decodes every picture for one report of all that do not fit. Nothing stays that this call wrote of such a
        copy: its repaired pictures are another content."""
        from harness.api.shard_parts import waiting_folder

        try:
            self.dataset.check_all()
        except DataError:
            for stored in self.sets:
                remove_away(waiting_folder(stored, self.place))
            for stored in self.written:
                remove_away(stored.folder(self.place))
            raise

    def _check_kinds(self) -> None:
        """Looks at all pixels where the pictures of a side are of several kinds, which may be a mistake."""
        from harness.data.shards import open_set

        for stored in self.sets:
            for side in open_set(stored, self.place, verify=False).index.places.values():
                kinds = {*zip(side.numbers[:, 5].tolist(), side.dtypes, strict=True)} - {(-1, "")}
                if len(kinds) > 1:
                    self._check_pixels()

    def _shared_pictures(self) -> list[str]:
        """Remarks on pictures of other splits that the training split has, too."""
        from harness.data.audit import same_pictures
        from harness.data.prints import known_prints

        prints = {split: known_prints(self.ref, split, self.place) for split in self.counts}
        train, remarks = prints.pop("train", None), []
        for split, others in prints.items():
            same = list(same_pictures(train, others)) if train is not None and others is not None else []
            if same and train is not None and others is not None:
                first = f"{train.keys[same[0].one]} and {others.keys[same[0].other]} are {same[0].how}"
                remarks.append(f"{len(same):,} pictures of {split} are among the training pictures, too: {first}")
        return remarks

    def _tell(self, before: Note | None, summary: RunSummary | None) -> None:
        for warning in self.warnings:
            typer.echo(f"warning: {warning}", err=True)
        told_replaced(before, self.ref)
        took = f" in {summary.seconds:.1f} s" if summary is not None else ""
        typer.echo(f"prepared{took} in {self.place}; suites say:  dataset: {self.name}")
        if self.place != library():
            typer.echo(told_where(self.place), err=True)


def _made_anew(plan: Plan) -> list[PreparedSet]:
    """The sets that the jobs of a plan make, whatever lies in their place."""
    works = [planned.job.work for planned in plan.to_run]
    return [work.stored for work in works if isinstance(work, ShardsWork) and work.part is None]


def _push(sets: Sequence[PreparedSet], place: Path, to: str) -> None:
    from harness.data import exchange

    for stored in sets:
        copied = exchange.push(stored.folder(place), to.rstrip("/"))
        typer.echo(f"{stored.name}/{stored.split}: {size(copied)} copied to {to}")
