"""Whether a machine can run a run's jobs at all: it sees the same folders, with the same software on it.

The driver gathers the evidence, and leaves a file of a random word in every folder that machines are to share; each
machine is asked (on itself, by `shortcomings`) before it gets its first job. Imports nothing that takes long to load.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.api.running import Shared
from harness.core.errors import HarnessError
from harness.core.version import package_version
from harness.storage.copies import url_of
from harness.storage.reach import is_url
from harness.storage.store import Store

SOFTWARE = ("torch", "numpy")
"""Libraries whose versions change numbers."""

TRIES = 4
"""How often a machine looks for a file, a second apart: a network disk may tell others of a new one a moment later."""


@dataclass(frozen=True)
class Mark:
    """A file that every machine must see alike."""

    what: str
    folder: str
    file: str
    content: str


@dataclass(frozen=True)
class Evidence:
    """What a machine has to show."""

    marks: tuple[Mark, ...] = ()
    versions: Mapping[str, str] | None = None
    plugins: Mapping[str, str] | None = None
    """Digests by absolute path."""


def gather(shared: Shared) -> Evidence:
    """The evidence of this machine. Raises nothing for a folder that cannot be written: then what lies in it counts."""
    name = f".nonce-{hashlib.sha256(shared.out.encode()).hexdigest()[:12]}"  # a killed run's is written over
    marks = [_mark("the output folder", shared.out, name), _mark("the data folder", shared.data, name)]
    return Evidence(tuple(marks), versions(), {path: _digest(path) for path in shared.plugins})


def forget(evidence: Evidence) -> None:
    """Removes the files that `gather` left."""
    for mark in evidence.marks:
        if is_url(mark.file):
            with suppress(HarnessError):
                Store(mark.folder).remove([_key(mark)])
        elif mark.file:
            with suppress(OSError):
                os.unlink(mark.file)


def shortcomings(evidence: Evidence) -> list[str]:
    """Why this machine cannot run the jobs, each as a few words; empty when it can. To be called on the machine."""
    found = [reason for mark in evidence.marks if (reason := _unseen(mark))]
    own = versions()
    for name, wanted in (evidence.versions or {}).items():
        if own.get(name) != wanted:
            found.append(f"{name} is {own.get(name) or 'missing'} there and {wanted} here")
    for path, digest in (evidence.plugins or {}).items():
        if _digest(path) not in ("", digest):  # a file that is not there comes with the job
            found.append(f"the plug-in {path} is another file there")
    return found


def versions() -> dict[str, str]:
    """What a process of this machine runs on, by name."""
    found = {"priorbench": package_version(), "Python": ".".join(platform.python_version_tuple()[:2])}
    for name in SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def in_words(reasons: Sequence[str]) -> str:
    """Several reasons as one phrase."""
    return "; ".join(reasons)


def _mark(what: str, folder: str, name: str) -> Mark:
    if (url := url_of(Path(folder))) is not None:
        mark = Mark(what, url, f"{url}/{name}", uuid.uuid4().hex)
        Store(url).write(_key(mark), mark.content.encode())
        return mark
    path = os.path.join(os.path.abspath(folder), name)
    content = uuid.uuid4().hex
    try:
        os.makedirs(folder, exist_ok=True)
        Path(path).write_text(content, encoding="ascii")
    except OSError:
        return Mark(what, os.path.abspath(folder), "", _names(folder))
    return Mark(what, os.path.abspath(folder), path, content)


def _key(mark: Mark) -> str:
    return mark.file.rpartition("/")[2]


def _unread(mark: Mark) -> str:
    """Why a machine does not see a word on a store; empty when it does."""
    try:
        found = Store(mark.folder).read(_key(mark))
    except HarnessError as error:
        return f"{mark.what} {mark.folder} cannot be read there: {error.what}"
    same = found == mark.content.encode()
    return "" if same else f"{mark.what} {mark.folder} is another store there: see AWS_ENDPOINT_URL"


def _unseen(mark: Mark) -> str:
    if is_url(mark.file):
        return _unread(mark)
    for attempt in range(TRIES):
        if attempt:
            time.sleep(1.0)
        if _seen(mark):
            return ""
        if not os.path.isdir(mark.folder):
            break
    there = "is another folder there" if os.path.isdir(mark.folder) else "is not there"
    return f"{mark.what} {mark.folder} {there}"


def _seen(mark: Mark) -> bool:
    if not mark.file:
        return _names(mark.folder) == mark.content
    try:
        return Path(mark.file).read_text(encoding="ascii") == mark.content
    except (OSError, ValueError):
        return False


def _names(folder: str) -> str:
    """A digest of the names in a folder that are no temporary files."""
    with suppress(OSError):
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
    return ""


def _digest(path: str) -> str:
    with suppress(OSError):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""
