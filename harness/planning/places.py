"""Where a job's folders and plug-ins lie, said from the place of its file, so that a folder of results can be moved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import DataError
from harness.core.kept import UNREADABLE, kept_place
from harness.core.paths import Layout
from harness.planning.job import Job
from harness.storage.copies import copy_of, url_of
from harness.storage.reach import is_url


def said_from(layout: Layout, path: str | Path) -> str:
    """A path as job files hold it: relative to their folder when it lies in or beside the output folder, else absolute.

    What lies elsewhere does not move with the output folder. What lies in the working copy of another store is said by
    its URL, as every machine has a copy of its own.
    """
    out, target = layout.out.absolute(), Path(path).absolute()
    if not target.is_relative_to(out) and (url := url_of(target)) is not None:
        return url
    beside = out.parent
    near = target.is_relative_to(out) or (beside != beside.parent and target.is_relative_to(beside))
    return os.path.relpath(target, out / "jobs") if near else str(target)


def places(layout: Layout, plugins: Sequence[str], suite: str = "") -> dict[str, object]:
    """The fields of a Job that are paths. `suite`: the one that keeps copies of its plug-ins; empty: none is kept."""
    found: dict[str, object] = {
        "out": said_from(layout, layout.out),
        "data": said_from(layout, layout.data),
        "plugins": tuple(said_from(layout, plugin) for plugin in plugins),
    }
    if suite and plugins:
        folder = plugin_copies(layout, suite)
        found["copies"] = tuple(said_from(layout, place) if (place := _copy(folder, each)) else "" for each in plugins)
    return found


def plugin_copies(layout: Layout, suite: str) -> Path:
    """The folder of the copies of a suite's plug-ins."""
    return layout.suite(suite).with_name(f"{suite}.plugins")


def _copy(folder: Path, plugin: str) -> Path | None:
    """Where a plug-in is kept; None for one that cannot be read, which runs nowhere."""
    try:
        return kept_place(folder, plugin)
    except UNREADABLE:
        return None


def placed(job: Job, file: Path) -> Job:
    """The job with absolute paths, as they are said from its file.

    Raises DataError when the file names another output folder than the one that it lies in: earlier releases wrote
    absolute paths, and the folder has been moved since.
    """
    folder = file.absolute().parent
    out = _from(folder, job.out)
    if not _same(out, folder.parent):
        raise DataError(
            f"this job belongs to the folder {out}, but its file lies in {folder.parent}: the folder was moved",
            where=str(file),
            hint="bench run SUITE writes the job files of all that is left to do anew",
        )
    plugins = tuple(_from(folder, plugin) for plugin in job.plugins)
    copies = tuple(copy and _from(folder, copy) for copy in job.copies)
    return job.model_copy(update={"out": out, "data": _from(folder, job.data), "plugins": plugins, "copies": copies})


def layout_of(job: Job) -> Layout:
    """The folders of a job whose paths are absolute."""
    return Layout(Path(job.out), Path(job.data), frozenset(job.anew))


def _from(folder: Path, path: str) -> str:
    if is_url(path):
        return str(copy_of(path).files)
    return os.path.normpath(folder / path)


def _same(one: str, other: Path) -> bool:
    """Whether two paths name one folder, through whatever links."""
    if one == os.path.normpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
