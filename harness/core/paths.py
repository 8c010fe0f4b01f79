"""Paths under the output and data folders, and atomic writes of files and folders."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError


def storage_error(error: OSError, path: Path) -> HarnessError:
    """The HarnessError that tells a user about the OSError of a write."""
    where = str(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what, hint = "the disk is full", "free some space, then run the same command again"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        what, hint = "cannot write here", "choose a writable folder with --out"
    else:
        what, hint = error.strerror or str(error), ""
    return HarnessError(what, where=where, hint=hint, kind="storage")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; moves it there when the block ends well, removes it otherwise.

    Raises HarnessError (kind `storage`) when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):  # a read-only folder refuses even this, and has nothing to remove
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a whole text file atomically, UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically; NaN is refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path`; renames it to `path` when the block ends well, removes it otherwise.

    If `path` exists by then, because another run made the same content, that folder is kept.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        try:
            os.rename(temporary, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class Layout:
    """The folders of one run. `out` holds results, `data` holds shards and features (shareable between runs)."""

    out: Path
    data: Path

    def cell(self, cell_id: str) -> Path:
        return self.out / "cells" / cell_id

    def record(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "record.json"

    def images(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "images.parquet"

    def events(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "events.jsonl"

    def checkpoints(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "checkpoint"

    def final_weights(self, cell_id: str) -> Path:
        """The checkpoint of a trained cell: what is evaluated, and what other cells start from."""
        return self.checkpoints(cell_id) / "final.safetensors"

    def samples(self, cell_id: str) -> Path:
        return self.cell(cell_id) / "samples"

    def job_file(self, job_id: str) -> Path:
        return self.out / "jobs" / f"{job_id}.json"

    def job_log(self, job_id: str) -> Path:
        return self.out / "jobs" / f"{job_id}.log"

    def suite(self, name: str) -> Path:
        return self.out / "suites" / f"{name}.json"

    @property
    def lock(self) -> Path:
        return self.out / ".lock"
