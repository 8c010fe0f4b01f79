"""Where a job's folders and plug-ins lie, said from the place of its file, so that a folder of results can be moved."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.planning.job import Job


def said_from(layout: Layout, path: str | Path) -> str:
    """A path as job files hold it: relative to their folder when it lies in or beside the output folder, else absolute.

    What lies elsewhere does not move with the output folder.
    """
    out, target = layout.out.absolute(), Path(path).absolute()
    beside = out.parent
    near = target.is_relative_to(out) or (beside != beside.parent and target.is_relative_to(beside))
    return os.path.relpath(target, out / "jobs") if near else str(target)


def places(layout: Layout, plugins: Iterable[str]) -> dict[str, object]:
    """The fields of a Job that are paths."""
    return {
        "out": said_from(layout, layout.out),
        "data": said_from(layout, layout.data),
        "plugins": tuple(said_from(layout, plugin) for plugin in plugins),
    }


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
    return job.model_copy(update={"out": out, "data": _from(folder, job.data), "plugins": plugins})


def layout_of(job: Job) -> Layout:
    """The folders of a job whose paths are absolute."""
    return Layout(Path(job.out), Path(job.data), frozenset(job.anew))


def _from(folder: Path, path: str) -> str:
    return os.path.normpath(folder / path)


def _same(one: str, other: Path) -> bool:
    """Whether two paths name one folder, through whatever links."""
    if one == os.path.normpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
