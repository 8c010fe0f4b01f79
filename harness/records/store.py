"""Records on disk: `<out>/cells/<id>/{record.json, images.parquet, events.jsonl}`. They are the truth.

Files appear whole or not at all. A new table of images waits beside `images.parquet` until the record that holds its
digest is written, so that a crash in between loses neither the old values nor the new.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import ValidationError

from harness.core.errors import DataError
from harness.core.fence import check_fence
from harness.core.identity import sealed, unsealed
from harness.core.outlast import make_folder, outlast
from harness.core.paths import RECORD, Layout, atomic_file, storage_error, unread, write_bytes, write_json
from harness.records.images import ImageRow as ImageRow
from harness.records.images import table_bytes
from harness.records.migrate import Unreadable, Untouchable, upgrade
from harness.records.model import IMAGE_COLUMNS, Attempt, Failure, Provenance, RunRecord
from results_schema.loader import validate

if TYPE_CHECKING:
    import pyarrow


_ANEW = "bench run SUITE makes it anew"
_RESCORED = "bench run SUITE scores the cell again"
"""What planning does by itself about results that are damaged or gone."""


def _again(cell_id: str) -> str:
    return f"make it again: bench run … --force {cell_id}"


_NO_FILE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors of a path that leads to no file: there is nothing in it to be kept."""


def _read(path: Path) -> bytes | None:
    """A file's content, None when there is no such file.

    Raises DataError when the path leads to no file, Unreadable when there is one that cannot be read now.
    """
    try:
        return outlast(path.read_bytes, path)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = f"cannot be read: {unread(error)}"
        if error.errno in _NO_FILE:
            raise DataError(what, where=str(path), hint=_ANEW) from error
        raise Unreadable(what, where=str(path), hint=f"chmod u+rw {path}, or see to its disk") from error


def load(layout: Layout, cell_id: str) -> RunRecord | None:
    """A cell's record, brought up to the present schema; None when there is none.

    Raises DataError when it is damaged (its seal is wrong, whatever version it names) or another cell's, Untouchable
    when a newer release wrote it or it cannot be read now.
    """
    return load_from(layout.cell(cell_id), cell_id)


def load_from(folder: Path, cell_id: str) -> RunRecord | None:
    """As `load`, from the folder in which the cell lies."""
    path = folder / RECORD
    content = _read(path)
    if content is None:
        return None
    try:
        record = RunRecord.model_validate(upgrade(unsealed(content).content, where=str(path)))
    except (ValueError, TypeError, RecursionError) as error:
        what = f"{error.error_count()} fields are wrong" if isinstance(error, ValidationError) else str(error)
        raise DataError(f"the record of cell {cell_id} is damaged: {what}", where=str(path), hint=_ANEW) from error
    if record.cell_id != cell_id:
        raise DataError(f"is the record of cell {record.cell_id}", where=str(path), hint=_ANEW)
    return record


def save(layout: Layout, record: RunRecord) -> None:
    """Writes a record atomically, and puts the table that it names in its place.

    Raises SchemaError when it is not what results_schema/record.v1.json promises.
    """
    save_at(layout.record(record.cell_id), record)
    named = _waiting(layout, record)
    for path in named.parent.glob(_WAITING.format("*")):
        with suppress(OSError):  # it is read where it waits
            if path == named:
                os.replace(path, layout.images(record.cell_id))
            else:
                path.unlink(missing_ok=True)


def save_at(path: Path, record: RunRecord) -> None:
    """As `save`, for a file that is named."""
    value = sealed(record.model_dump(mode="json"))
    validate("record", value)
    write_json(path, value)


def note_attempt(
    layout: Layout,
    *,
    cell_id: str,
    cell: dict[str, Any],
    labels: dict[str, str],
    attempt: Attempt,
    failure: Failure | None,
    provenance: Provenance,
    aside: bool = False,
) -> None:
    """Adds an attempt to a cell's record, which is begun when there is none (or only a damaged one).

    A failure marks the record failed, a success clears an earlier failure; results stay as they are. A cell whose first
    attempt was interrupted has no result yet: its record says failed, with kind `interrupted`. `aside`: the attempt was
    at making the cell again elsewhere, so that what is on record is as complete as before.
    """
    try:
        old = load(layout, cell_id)
    except Untouchable:
        raise
    except DataError:
        old = None
    if attempt.outcome == "interrupted" and failure is None:
        failure = Failure(kind="interrupted", message=attempt.message)
    if old is None:
        old = RunRecord(cell_id=cell_id, status="trained", labels=labels, cell=cell, provenance=provenance)
    has_results = old.training is not None or bool(old.evaluations)
    record = old.model_copy(
        update={
            "status": old.status if aside and has_results else _status(old, failure),
            "provenance": old.provenance if has_results else provenance,
            "attempts": (*old.attempts, attempt),
            "failure": failure,
        }
    )
    save(layout, record)


def _status(record: RunRecord, failure: Failure | None) -> str:
    return "failed" if failure else "done" if record.evaluations else "trained"


_WAITING = ".images.{}.parquet"
"""A table that waits for the record that names it, by the beginning of its digest."""


def _waiting(layout: Layout, record: RunRecord) -> Path:
    return layout.cell(record.cell_id) / _WAITING.format((record.images_sha256 or "none")[:16])


def save_images(layout: Layout, cell_id: str, rows: Iterable[ImageRow]) -> str:
    """Writes a cell's per-image metrics atomically; gives the file's SHA-256, which belongs into the record.

    A table that is there stays until `save` writes the record that names this one. Raises what `table_bytes` does.
    """
    content, path = table_bytes(rows), layout.images(cell_id)
    sha256 = sha256_of(content)
    if os.path.lexists(path):
        path = path.with_name(_WAITING.format(sha256[:16]))
    write_bytes(path, content)
    return sha256


def read_images(layout: Layout, record: RunRecord) -> bytes:
    """The bytes of a cell's images.parquet. Raises DataError when it is missing or not what the record names.

    A table that the record names and that was not put in its place, because of a kill, is put there.
    """
    path = layout.images(record.cell_id)
    content = _read(path)
    if _is_named(content, record):
        return content
    waits = _read(_waiting(layout, record))
    if _is_named(waits, record):
        with suppress(OSError):
            os.replace(_waiting(layout, record), path)
        return waits
    if content is None:
        raise DataError("the per-image metrics are missing", where=str(path), hint=_RESCORED)
    what = f"the per-image metrics of cell {record.cell_id} are damaged: not the file that its record names"
    raise DataError(what, where=str(path), hint=_RESCORED)


def _is_named(content: bytes | None, record: RunRecord) -> TypeGuard[bytes]:
    """Whether this is the table whose digest the record holds."""
    return content is not None and sha256_of(content) == record.images_sha256


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load_images(layout: Layout, cell_id: str) -> pyarrow.Table:
    """A cell's per-image metrics, columns IMAGE_COLUMNS. Raises DataError when they or the record are not sound."""
    record = load(layout, cell_id)
    if record is None:
        raise DataError(f"cell {cell_id} has no record", where=str(layout.record(cell_id)), hint="bench run …")
    return images_of(layout, record)


def images_of(layout: Layout, record: RunRecord) -> pyarrow.Table:
    """As `load_images`, for a record that is already loaded."""
    return table_of(layout, record, read_images(layout, record))


def table_of(layout: Layout, record: RunRecord, content: bytes) -> pyarrow.Table:
    """As `images_of`, for bytes that were read (`read_images`)."""
    import pyarrow
    from pyarrow import parquet

    table = parquet.ParquetFile(pyarrow.BufferReader(content)).read(use_threads=False)
    if tuple(table.column_names) == IMAGE_COLUMNS[:-2]:  # earlier releases wrote these
        table = table.append_column("scene", pyarrow.nulls(table.num_rows, pyarrow.string()))
    if tuple(table.column_names) == IMAGE_COLUMNS[:-1]:
        table = table.append_column("group", pyarrow.repeat("", table.num_rows))
    if tuple(table.column_names) != IMAGE_COLUMNS:
        raise DataError(
            f"has the columns {', '.join(table.column_names)}, not {', '.join(IMAGE_COLUMNS)}",
            where=str(layout.images(record.cell_id)),
            hint=_again(record.cell_id),
        )
    return table


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def append_event(layout: Layout, cell_id: str, event: dict[str, Any]) -> None:
    """Adds a line to events.jsonl. A torn line that a killed worker left at the end is cut off first.

    Raises Superseded when another try of the job that writes has begun.
    """
    path, line = layout.events(cell_id), _line(event)
    try:
        outlast(lambda: _append(path, line), path)
    except OSError as error:
        raise storage_error(error, path) from error


def _append(path: Path, line: bytes) -> None:
    check_fence()
    make_folder(path.parent)
    if os.path.lexists(path) and not path.is_file():
        os.rename(path, path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.aside"))
    with open(path, "ab+", buffering=0) as handle:
        if handle.tell() > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                handle.truncate(path.read_bytes().rfind(b"\n") + 1)
        handle.write(line)


def read_events(layout: Layout, cell_id: str) -> list[dict[str, Any]]:
    """The events of a cell, oldest first. Lines that a crash tore are left out; a file that cannot be read has none.

    Nothing is decided by events, so that damaged ones never stop anything.
    """
    events = []
    try:
        content = _read(layout.events(cell_id)) or b""
    except DataError:
        return []
    for line in content.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def rewrite_events(layout: Layout, cell_id: str, events: Iterable[dict[str, Any]]) -> None:
    """Replaces the events of a cell atomically: a resumed training drops what came after its checkpoint."""
    path = layout.events(cell_id)
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"".join(map(_line, events)))
