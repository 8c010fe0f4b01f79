"""Paths under the output and data folders, and atomic writes of files and folders."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError
from harness.core.fence import check_fence
from harness.core.identity import json_text
from harness.core.outlast import is_cut_off, is_there, make_folder, outlast
from harness.core.temporary import drop_earlier, temporary_beside
from harness.core.text import shown_name

PLACE_OPTION = ContextVar("PLACE_OPTION", default="--out")
"""The option by which a user chooses where the running command writes."""


def storage_error(error: OSError, path: Path) -> HarnessError:
    """The HarnessError that tells a user about the OSError of a write.

    Its kind is `storage`; `worker_lost`, with which a job is tried again, where its disk went away in between.
    """
    where = str(path)
    if is_cut_off(error, path):
        what, hint = "its disk went away while it was written", "nothing in a run, which tries again; else run it again"
        return HarnessError(what, where=where, hint=hint, kind="worker_lost")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what, hint = "the disk is full", "free some space, then run the same command again"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        what, hint = "cannot write here", f"choose a writable folder with {_setting(path)}"
    elif error.errno == errno.EFBIG:
        what = error.strerror or str(error)
        hint = f"raise the limit on files (ulimit -f), or choose a folder on another disk with {_setting(path)}"
    else:
        what, hint = error.strerror or str(error), f"choose another folder with {_setting(path)}"
    return HarnessError(what, where=where, hint=hint, kind="storage")


def _setting(path: Path) -> str:
    """What a user sets to have a path elsewhere."""
    data = os.environ.get("PRIORBENCH_DATA")
    return "PRIORBENCH_DATA" if data and path.absolute().is_relative_to(Path(data).absolute()) else PLACE_OPTION.get()


def unread(error: OSError) -> str:
    """Why a file cannot be read, as a few words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    if error.errno == errno.ELOOP:
        return "its links lead in a circle"
    if error.errno == errno.ENOENT:
        return "there is no such file"
    if error.errno == errno.EISDIR:
        return "this is a folder"
    if error.errno == errno.ENOTDIR:
        return "a part of the path is a file, not a folder"
    if error.errno == errno.EIO:
        return "the disk reports an error (EIO)"
    return (error.strerror or str(error) or type(error).__name__).lower()


def below(root: Path, *names: str) -> Path:
    """The path of these names below a folder, one folder a name: whatever is written or removed lies there.

    Raises HarnessError for a name that is not one plain name, such as `..` or `a/b`.
    """
    for name in names:
        if name.isalnum():
            continue
        if name in ("", ".", "..") or any(character in "/\\\0" for character in name):
            what = f"{shown_name(name)!r} cannot be the name of a file or folder here"
            raise HarnessError(what, where=str(root), hint="give the part or split a plain name", kind="suite")
    return root.joinpath(*names)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; moves it there when the block ends well, removes it otherwise.

    Raises HarnessError (kind `storage`) when the disk is full or the folder cannot be written, Superseded when another
    try of the job that writes has begun. A disk that is away is waited for (harness.core.outlast), but for what the
    block itself writes.
    """
    with _placed(path) as temporary:
        yield temporary
        with outlast(lambda: open(temporary, "rb"), path) as handle:
            os.fsync(handle.fileno())


@contextmanager
def _placed(path: Path) -> Iterator[Path]:
    """As `atomic_file`, for a block that has the disk keep what it writes."""
    check_fence()
    temporary = temporary_beside(path)
    try:
        outlast(lambda: make_folder(path.parent), path)
        yield temporary
        outlast(lambda: _rename(temporary, path, os.replace), path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):  # a read-only folder refuses even this, and has nothing to remove
            temporary.unlink(missing_ok=True)


def _rename(temporary: Path, path: Path, rename: Callable[[Path, Path], None]) -> None:
    check_fence()  # what was written, or the disk's coming back, may have taken long
    rename(temporary, path)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file atomically, again from its beginning where its disk was away in between."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())

    with _placed(path) as temporary:
        outlast(lambda: write(temporary), path)


def write_text(path: Path, content: str) -> None:
    """Writes a whole text file atomically, UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically; NaN is refused, as JSON has none."""
    write_text(path, json_text(value))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path`; renames it to `path` when the block ends well, removes it otherwise.

    If `path` exists by then, because another run made the same content, that folder is kept. Raises as `atomic_file`.
    """
    check_fence()
    drop_earlier(path)
    temporary = temporary_beside(path)
    try:
        outlast(lambda: make_folder(temporary), path)
        yield temporary
        try:
            outlast(lambda: _rename(temporary, path, os.rename), path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    except OSError as error:
        raise storage_error(error, path) from error
    except Exception as error:
        gone = FileNotFoundError(errno.ENOENT, str(error))  # which libraries wrap in errors of their own
        if isinstance(error, HarnessError) or not is_cut_off(gone, path):
            raise
        raise storage_error(gone, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_away(path: Path) -> Path | None:
    """Removes a file, link or folder, renamed first, so that no kill leaves half of it under its name.

    Gives where the rest of a folder lies that could not be removed whole. Nothing happens to what is not there.
    Raises HarnessError (kind `storage`) when it cannot be renamed, Superseded when another try of the job that removes
    it has begun; it is whole then.
    """
    check_fence()
    away = temporary_beside(path.with_name(path.name.removeprefix(".")))
    try:
        outlast(lambda: _rename(path, away, os.rename), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
    if away.is_dir() and not away.is_symlink():
        shutil.rmtree(away, ignore_errors=True)
    else:
        with suppress(OSError):
            away.unlink(missing_ok=True)
    return away if os.path.lexists(away) else None


COMPILED = "compiled"
"""The folder of the graphs that torch.compile makes for the cells of a folder of results."""

RECORD, CHECKPOINTS, FINAL_WEIGHTS = "record.json", "checkpoint", "final.safetensors"
"""In a cell's folder: its record, the folder of what its training leaves, and the finished training's weights there."""


@dataclass(frozen=True)
class Layout:
    """The folders of one run. `out` holds results, `data` holds shards and features (shareable between runs).

    `anew` names the cells that are made again beside what they left before (harness.records.anew).
    """

    out: Path
    data: Path
    anew: frozenset[str] = frozenset()

    @property
    def roots(self) -> tuple[Path, ...]:
        """Those that are there, for `outlasting` (harness.core.outlast)."""
        return tuple(root for root in (self.out, self.data) if root.is_dir())

    def cell(self, cell_id: str) -> Path:
        """The folder of a cell: where it is made anew while it is; where the old one waits if a swap was cut off."""
        if cell_id in self.anew and is_there(made := self.anew_cell(cell_id)):
            return made
        place = self.placed_cell(cell_id)
        if not is_there(place) and is_there(old := self.old_cell(cell_id)):
            return old
        return place

    def placed_cell(self, cell_id: str) -> Path:
        """Where the folder of a cell lies but for the moment of a swap."""
        return below(self.out, "cells", cell_id)

    def anew_cell(self, cell_id: str) -> Path:
        """Where a cell is made again while its old folder stays in place."""
        return below(self.out, "cells", f".{cell_id}.anew")

    def old_cell(self, cell_id: str) -> Path:
        """Where the old folder of a cell lies between the two renames of a swap, and until it is removed."""
        return below(self.out, "cells", f".{cell_id}.old")

    def record(self, cell_id: str) -> Path:
        return self.cell(cell_id) / RECORD

    def images(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "images.parquet"

    def events(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "events.jsonl"

    def checkpoints(self, cell_id: str) -> Path:
        return self.cell(cell_id) / CHECKPOINTS

    def final_weights(self, cell_id: str) -> Path:
        """The checkpoint of a trained cell: what is evaluated, and what other cells start from."""
        return self.checkpoints(cell_id) / FINAL_WEIGHTS

    def samples(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "samples"

    def job_file(self, job_id: str) -> Path:
        return below(self.out, "jobs", f"{job_id}.json")

    def job_attempt(self, job_id: str) -> Path:
        """Which try of a job may write (harness.core.fence)."""
        return below(self.out, "jobs", f"{job_id}.attempt")

    def job_log(self, job_id: str, rank: int = 0) -> Path:
        """The log of one process of a job: `<job>.log` of the one that writes its results, `<job>.rank1.log` …"""
        return below(self.out, "jobs", f"{job_id}.rank{rank}.log" if rank else f"{job_id}.log")

    def job_scores(self, job_id: str) -> Path:
        """The values of a part of a test set, until the evaluation has them (harness.records.scores)."""
        return below(self.out, "jobs", f"{job_id}.scores")

    def job_failure(self, job_id: str) -> Path:
        """Why a shards or features job failed; not there once it has succeeded (harness.records.job_failures)."""
        return below(self.out, "jobs", f"{job_id}.failure.json")

    def suite(self, name: str) -> Path:
        return below(self.out, "suites", f"{name}.json")

    @property
    def compiled(self) -> Path:
        """Graphs that torch.compile made, which it makes again when they are gone."""
        return self.out / COMPILED

    @property
    def lock(self) -> Path:
        return self.out / ".lock"
