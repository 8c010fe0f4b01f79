"""Whether this process may still write: a worker that was given up, and lives, must not write beside its replacement.

Every try of a job has a token of its own, which the driver writes to a small file before it hands the job out. Whoever
runs the job reads that file before each write (harness.core.paths), and stops when it names another try.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import HarnessError


class Superseded(HarnessError):
    """Another try of this job has begun: this one was given up, and must not write any more."""


_fence: tuple[str, bytes] | None = None
"""The file and the token of the job that this process runs. One for all threads: a worker runs one job at a time."""


@contextmanager
def fenced(path: Path, token: str) -> Iterator[None]:
    """Inside, writes are refused as soon as the file at `path` holds another token. Without a token nothing is."""
    global _fence
    before, _fence = _fence, (str(path), token.encode()) if token else None
    try:
        yield
    finally:
        _fence = before


def mark() -> tuple[str, str]:
    """Eight hexadecimal digits for the job that this process runs, and eight for its try; two empty ones outside.

    In the names of temporary files they tell what earlier tries of a job have left.
    """
    if _fence is None:
        return "", ""
    path, token = _fence
    job, attempt = (hashlib.sha256(of).hexdigest()[:8] for of in (path.encode(errors="surrogateescape"), token))
    return job, attempt


def superseded() -> bool:
    """Whether another try of the job that this process runs has begun.

    The file is opened each time: on a network disk that alone asks the server whether it has changed (its attributes
    may be a minute old). A file that cannot be read, or is not there, says nothing.
    """
    if _fence is None:
        return False
    path, token = _fence
    try:
        with open(path, "rb", buffering=0) as handle:
            found = handle.read().strip()
    except OSError:
        return False
    return found not in (b"", token)


def check_fence() -> None:
    """Raises Superseded when another try of the job that this process runs has begun. Called before every write."""
    if _fence is not None and superseded():
        what = "this try of the job was given up, and another one has begun: it stops here"
        raise Superseded(what, where=_fence[0], hint="nothing: the other one goes on", kind="worker_lost")
