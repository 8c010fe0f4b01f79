"""Whether this process may still write: a worker that was given up, and lives, must not write beside its replacement.

Every try of a job has a token of its own, which the driver writes to a small file before it hands the job out. Whoever
runs the job reads that file before each write (harness.core.paths), and stops when it names another try. A job that
does the work of several others reads the files of all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import HarnessError


class Superseded(HarnessError):
    """Another try of this job has begun: this one was given up, and must not write any more."""


_fence: tuple[tuple[str, bytes], ...] = ()
"""The files and tokens of the jobs whose work this process does, the one that it runs first. The same for all threads:
a worker runs one job at a time."""


@contextmanager
def fenced(path: Path, token: str, *others: tuple[Path, str]) -> Iterator[None]:
    """Inside, writes are refused as soon as the file at `path` holds another token. Without a token nothing is.

    `others`: the files and tokens of other jobs whose work is done as well; one that holds another token is enough.
    """
    global _fence
    tries = ((path, token), *others)
    before, _fence = _fence, tuple((str(file), of_try.encode()) for file, of_try in tries if of_try)
    try:
        yield
    finally:
        _fence = before


def mark() -> tuple[str, str]:
    """Eight hexadecimal digits for the job that this process runs, and eight for its try; two empty ones outside.

    In the names of temporary files they tell what earlier tries of a job have left.
    """
    if not _fence:
        return "", ""
    path, token = _fence[0]
    job, attempt = (hashlib.sha256(of).hexdigest()[:8] for of in (path.encode(errors="surrogateescape"), token))
    return job, attempt


def superseded() -> bool:
    """Whether another try of the job that this process runs has begun, or of one whose work it does."""
    return bool(_superseded_by())


def _superseded_by() -> str:
    """The first file that names another try; empty when none does.

    Files are opened each time: on a network disk that alone asks the server whether they have changed (their attributes
    may be a minute old). A file that cannot be read, or is not there, says nothing.
    """
    for path, token in _fence:
        try:
            with open(path, "rb", buffering=0) as handle:
                found = handle.read().strip()
        except OSError:
            continue
        if found not in (b"", token):
            return path
    return ""


def check_fence() -> None:
    """Raises Superseded when another try of the job that this process runs has begun. Called before every write."""
    if path := _superseded_by():
        what = "this try of the job was given up, and another one has begun: it stops here"
        raise Superseded(what, where=path, hint="nothing: the other one goes on", kind="worker_lost")
