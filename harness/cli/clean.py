"""`bench clean`: what no suite needs any more, and how large it is; with `--yes`, removes it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import DataPlaceOption, OutOption
from harness.cli.subject import Subject, SubjectArgument, find_subject
from harness.cli.tables import print_table
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.core.temporary import abandoned
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.unneeded import TEMPORARY, Unneeded, unneeded
from harness.results.suites import read_suites, suite_files
from harness.storage.copies import shown_place
from harness.storage.sending import remove_there

YesOption = Annotated[bool, typer.Option("--yes", help="Remove what is listed.")]
DataOption = Annotated[
    bool,
    typer.Option(
        "--shared-data", help="Look in $PRIORBENCH_DATA too, although other results may need what lies there."
    ),
]


def clean(
    subject: SubjectArgument,
    out: OutOption = None,
    data_place: DataPlaceOption = None,
    yes: YesOption = False,
    shared_data: DataOption = False,
) -> int:
    """List what no suite of a folder of results needs any more: cells, jobs, shards, features, remains of killed runs.

    For a suite, what its file says now counts, and the other suites that were run into the same folder.
    """
    from harness.records.lock import run_lock

    found = find_subject(subject, out)
    data = shared_data or _within(found.layout.data, found.layout.out)
    with run_lock(found.layout) if yes else nullcontext():
        left = unneeded(_suites(found), found.layout, data=data)
        rows = [(each.kind, each.name, size(each.bytes)) for each in left]
        if rows:
            print_table(("kind", "what", "size"), rows)
        for each in left if yes else ():
            each.remove()
            remove_there(each.path)
    busy = _busy(found.layout.data) if data else 0
    typer.echo(_summary(left, removed=yes, busy=busy))
    if not data:
        typer.echo(f"not looked at: {found.layout.data}, which other results may share (--shared-data)")
    return exits.DONE


def _summary(left: Sequence[Unneeded], *, removed: bool, busy: int) -> str:
    total = size(sum(each.bytes for each in left))
    said = f"{len(left)} removed, {total}" if removed else f"{len(left)} not needed, {total}; --yes removes them"
    if not left:
        said = "nothing to remove: all that is here is needed" if not busy else "nothing to remove yet"
    if not busy:
        return said
    return f"{said}\nleft for a day, as a run may be at work on them: temporary folders of data ({busy})"


def _busy(data: Path) -> int:
    """How many temporary folders of prepared sets and features changed within a day, and are not looked at."""
    found = [path for depth in ("", "*/", "*/*/", "*/*/*/") for path in data.glob(f"{depth}.*")]
    return sum(TEMPORARY.fullmatch(path.name) is not None and path.is_dir() and not abandoned(path) for path in found)


def _suites(found: Subject) -> list[tuple[ResolvedSuite, Registry]]:
    """The suites that keep what they need: the subject's, and all others of the folder.

    Raises HarnessError when one of them cannot be read: what it needs is not known then.
    """
    names = {suite.name for suite, _ in found.suites}
    stored = read_suites(found.layout) if suite_files(found.layout) else None
    if stored is not None and stored.problems:
        raise HarnessError(
            f"nothing is removed: {stored.problems[0]}", where=shown_place(found.layout.out), kind="data"
        )
    others = [suite for suite in stored.suites if suite.name not in names] if stored is not None else []
    return [*found.suites, *((suite, extend(REGISTRY, suite.plugins)) for suite in others)]


def _within(folder: Path, other: Path) -> bool:
    return folder.resolve().is_relative_to(other.resolve())


def size(count: float) -> str:
    """Bytes as people say them: 812 B, 3.4 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
