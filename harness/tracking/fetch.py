"""Records and suites back from MLflow. What should be there and is not is an error that says so."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.core.errors import HarnessError
from harness.core.paths import Layout, write_bytes
from harness.records.model import RunRecord
from harness.storage.copies import shown_place
from harness.tracking.server import RECORD, Server, stored_suite

_MOST_TOLD = 8
"""Missing artifacts that a message lists."""


def fetch_suite(server: Server, into: Layout) -> None:
    """Writes the records, per-image metrics and resolved suite of all of a suite's runs below `into`.

    Raises HarnessError when the server has none of the suite's runs, and when something is missing: an artifact that a
    run's tags speak of, or the run of a cell that has a record in the server's layout.
    """
    suite, sync = server.suite, f"bench track sync {shown_place(server.layout.out)}"
    if not server.runs:
        what = f"MLflow has no runs of suite {suite!r}"
        raise HarnessError(
            f"{what}: the experiment was deleted" if server.deleted else what, where=server.uri, hint=sync
        )
    missing = [line for cell_id, run in server.runs.items() for line in _fetch_run(server, cell_id, run, into)]
    missing += [f"the run of cell {cell_id}, which has a record here" for cell_id in _without_run(server)]
    if missing:
        more = len(missing) - _MOST_TOLD
        told = [*missing[:_MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
        what = "\n  ".join([f"MLflow does not have all of suite {suite!r}, {len(missing)} missing:", *told])
        raise HarnessError(what, where=server.uri, hint=sync, kind="storage")


def _fetch_run(server: Server, cell_id: str, run: Any, into: Layout) -> Iterator[str]:
    """Writes what one run holds; gives a line on each artifact that is missing or not the one that was mirrored."""
    sha = run.data.tags.get(RECORD)
    told = f"of run {run.info.run_id}" + (f" (cell {cell_id})" if cell_id else "")
    if not cell_id:
        if sha is not None:
            yield from _copied(server, run, "suite.json", into.suite(server.suite), sha, told)
        return
    if sha is None:
        yield f"record.json {told}: it was not mirrored to its end"
        return
    problems = list(_copied(server, run, "record.json", into.record(cell_id), sha, told))
    yield from problems
    if problems:
        return
    try:
        record = RunRecord.model_validate_json(into.record(cell_id).read_bytes())
    except ValidationError:
        return  # of another release; reading the records says so
    if record.images_sha256 is not None:
        yield from _copied(server, run, "images.parquet", into.images(cell_id), record.images_sha256, told)


def _copied(server: Server, run: Any, name: str, target: Path, sha: str, told: str) -> Iterator[str]:
    content = _read(server, run, name)
    if content is None:
        yield f"{name} {told}: it is not at {server.place(run) or run.info.artifact_uri}"
    elif hashlib.sha256(content).hexdigest() != sha:
        yield f"{name} {told}: what lies at {server.place(run) or run.info.artifact_uri} is not what was mirrored"
    else:
        write_bytes(target, content)


def _read(server: Server, run: Any, name: str) -> bytes | None:
    """An artifact's bytes; None when there is none."""
    place = server.place(run)
    if place is not None:
        path = place / name
        return path.read_bytes() if path.is_file() else None
    run_id = run.info.run_id
    if name not in {artifact.path for artifact in server.client.list_artifacts(run_id)}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return Path(server.client.download_artifacts(run_id, name, folder)).read_bytes()


def _without_run(server: Server) -> list[str]:
    """Cells of the suite that have a record here and no run there."""
    ids = cells_of(server.layout, server.suite)
    return [cell_id for cell_id in ids if cell_id not in server.runs and server.layout.record(cell_id).is_file()]


def cells_of(layout: Layout, suite: str) -> list[str]:
    """Ids of the cells of a stored suite; none when it cannot be read."""
    found = stored_suite(layout, suite)
    return [] if found is None else list(dict.fromkeys(each.cell.id for each in found.cells))
