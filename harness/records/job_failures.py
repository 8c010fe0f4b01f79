"""Why shards and features jobs failed, which belong to no cell: `<out>/jobs/<job>.failure.json`, gone with success.

A job's id is the digest of what it does, so that a failure is never said of other content.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from harness.core.fence import check_fence
from harness.core.paths import Layout, storage_error, write_json
from harness.records.model import Failure


def note_failure(layout: Layout, job_id: str, failure: Failure) -> None:
    """Remembers why a job failed. Raises HarnessError (kind `storage`)."""
    write_json(layout.job_failure(job_id), failure.model_dump(mode="json"))


def clear_failure(layout: Layout, job_id: str) -> None:
    """Forgets an earlier failure. Raises HarnessError (kind `storage`)."""
    check_fence()
    try:
        layout.job_failure(job_id).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, layout.job_failure(job_id)) from error


def read_failure(layout: Layout, job_id: str) -> Failure | None:
    """Why a job failed the last time; None when it did not, or when the note cannot be read."""
    try:
        return Failure.model_validate(json.loads(layout.job_failure(job_id).read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None
