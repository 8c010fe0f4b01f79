"""Whether this process may still write: a worker that was given up, and lives, must not write beside its replacement.

Every try of a job has a token of its own, which the driver writes to a small file before it hands the job out. Whoever
runs the job reads that file before each write (harness.core.paths), and stops when it names another try.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import HarnessError


class Superseded(HarnessError):
    """Another try of this job has begun: this one was given up, and must not write any more."""


_fence: tuple[Path, str] | None = None
"""The file and the token of the job that this process runs. One for all threads: a worker runs one job at a time."""


@contextmanager
def fenced(path: Path, token: str) -> Iterator[None]:
    """Inside, writes are refused as soon as the file at `path` holds another token. Without a token nothing is."""
    global _fence
    before, _fence = _fence, (path, token) if token else None
    try:
        yield
    finally:
        _fence = before


def check_fence() -> None:
    """Raises Superseded (kind `worker_lost`) when another try of this process's job has begun.

    A file that is gone or cannot be read stops nobody: a shared disk may be away for a minute.
    """
    if _fence is None:
        return
    path, token = _fence
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return
    if found and found != token:
        what = "this try of the job was given up, and another one has begun: it stops here"
        raise Superseded(what, where=str(path), hint="nothing: the other one goes on", kind="worker_lost")
