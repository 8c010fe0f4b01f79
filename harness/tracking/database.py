"""MLflow's database where it is a file (`sqlite:///…`): where its artifacts lie, and whether it is whole.

Artifacts lie beside the database, in `mlartifacts/<run>/artifacts`. MLflow keeps their absolute places, so that a
database that was moved or copied with its folder names the old ones; `follow` puts that right. Nothing here imports
MLflow before the database is looked at for revisions.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from harness.core.errors import HarnessError
from harness.core.outlast import make_folder, outlast
from harness.core.paths import storage_error

ARTIFACTS = "mlartifacts"
"""The folder of artifacts, beside the database."""

_SMALLEST = 512
_LONGEST_WAIT = 20.0
"""Seconds to wait for another process that writes the database, as MLflow does."""


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database; None for every other store."""
    place = uri.removeprefix("sqlite:///")
    return None if place == uri or place in ("", ":memory:") else Path(place.partition("?")[0]).absolute()


def is_there(uri: str) -> bool:
    """Whether a store can hold anything, as far as can be seen without asking it: a file that is missing or shorter
    than SQLite's smallest page cannot."""
    file = database_file(uri)
    try:
        return file is None or file.is_dir() or file.stat().st_size >= _SMALLEST
    except OSError:
        return False


def artifacts_beside(file: Path, run_id: str) -> Path:
    """Where the artifacts of a run lie when they lie beside the database."""
    return file.parent / ARTIFACTS / run_id / "artifacts"


def local_path(uri: str) -> Path | None:
    """The path of a `file:` URI or of a plain path; None for a place on another machine."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(uri) if not parts.scheme else None


def follow(file: Path, experiment: str, *, own: bool) -> None:
    """Makes the database name the artifacts beside it: the ones that lie there now, and all that will be written.

    Artifacts that still lie where the database says stay there, unless the database is the `own` one of a folder of
    results: that was copied then, and must not write into the original. Raises sqlite3.Error when it cannot be written.
    """
    beside = (file.parent / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(file, timeout=_LONGEST_WAIT)) as database:
        place = database.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = ?", (experiment,)
        ).fetchone()
        before = local_path(place[0]) if place and place[0] else None
        if place and place[0] != beside and before is not None and before.name == ARTIFACTS:
            database.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (beside, experiment)
            )
        runs = database.execute("SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?", (experiment,))
        for run_id, uri in runs.fetchall():
            here = artifacts_beside(file, run_id)
            if uri != here.as_uri() and (own or here.is_dir() or _is_gone(uri)):
                database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (here.as_uri(), run_id))
        database.commit()


def _is_gone(uri: str | None) -> bool:
    path = local_path(uri or "")
    return path is not None and not path.is_dir()


def damage(file: Path) -> str:
    """Why a database cannot be used as it is, in a few words; empty when it can, or when MLflow will fill it.

    Found are a folder in its place, a file that is no database or is cut or torn, and tables whose making was not
    finished. A database that is busy or cannot be read now is not called damaged.
    """
    if file.is_dir():
        return "a folder lies in its place"
    if not file.is_file() or file.stat().st_size == 0:
        return ""
    try:
        with closing(sqlite3.connect(file, timeout=_LONGEST_WAIT)) as database:
            told = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if told != "ok":
                return f"it is damaged ({str(told).splitlines()[-1][:100]})"
            names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found = "alembic_version" in names and database.execute("SELECT version_num FROM alembic_version")
            revisions = [row[0] for row in found] if found else []
    except sqlite3.OperationalError:
        return ""
    except sqlite3.DatabaseError as error:
        return f"it is damaged ({error})"
    return _unfinished(names, revisions)


def _unfinished(tables: set[str], revisions: list[str]) -> str:
    """Whether the tables are those of this MLflow, from their names and the revision that the database names."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.db.utils import _get_alembic_config

    if not tables - {"alembic_version"}:
        return ""
    scripts = ScriptDirectory.from_config(_get_alembic_config(""))
    known = {script.revision for script in scripts.walk_revisions()}
    if revisions and revisions[0] not in known:
        return ""  # a newer MLflow made it: its message says what to do
    head = scripts.get_current_head()
    if not revisions or revisions[0] != head:
        return f"its tables are not finished (revision {revisions[0] if revisions else 'none'}, not {head})"
    lacking = sorted(set(Base.metadata.tables) - tables)
    return f"tables are missing ({', '.join(lacking[:3])})" if lacking else ""


def unhurried(file: Path) -> None:
    """Lets this process's commits to a database not wait for the disk: they are five a cell, and half of the time.

    A kill loses nothing by it. What a machine that loses its power leaves may be damaged, which `damage` finds: this is
    for the database of a folder of results, which is then mirrored anew.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    place = os.path.realpath(file)

    def connected(connection: Any, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        opened = [row[2] for row in connection.execute("PRAGMA database_list")]
        if place in map(os.path.realpath, filter(None, opened)):
            connection.execute("PRAGMA synchronous=OFF")

    if place not in _UNHURRIED:
        _UNHURRIED.add(place)
        event.listen(Engine, "connect", connected)


_UNHURRIED: set[str] = set()


def set_aside(file: Path) -> Path:
    """Renames a damaged database, with what SQLite left beside it, to the first free `<name>.damaged-<n>`.

    Raises HarnessError when the folder cannot be written.
    """
    number = 1
    while os.path.lexists(place := file.with_name(f"{file.name}.damaged-{number}")):
        number += 1
    try:
        for ending in ("-journal", "-wal", "-shm"):
            beside = file.with_name(file.name + ending)
            if beside.exists():
                os.replace(beside, place.with_name(place.name + ending))
        os.rename(file, place)
    except OSError as error:
        raise storage_error(error, file) from error
    return place


@contextmanager
def opening(file: Path) -> Iterator[None]:
    """Lets one process at a time make or mend the database, so that half-made tables are nobody's work in progress."""
    try:
        outlast(lambda: make_folder(file.parent), file)
        handle = open(file.with_name(f".{file.name}.lock"), "a")  # noqa: SIM115 - closed below
    except OSError as error:
        raise storage_error(error, file.parent) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise HarnessError(f"cannot be locked: {error}", where=str(file), kind="storage") from error
        yield
