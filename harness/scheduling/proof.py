"""Whether a machine can run a run's jobs at all: it sees the same folders, with the same software on it.

The driver gathers the evidence, and leaves a file of a random word in every folder that machines are to share; each
machine is asked (on itself, by `shortcomings`) before it gets its first job, and again when a job's failure may be the
machine's. Where jobs write, below those folders too, it also leaves, and removes, a file of its own. Imports nothing
that takes long to load.
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from harness.api.running import Shared
from harness.api.sets import SETS
from harness.core.errors import HarnessError
from harness.core.own_code import own_source
from harness.core.version import package_version
from harness.storage.copies import url_of
from harness.storage.reach import is_url
from harness.storage.store import Store

OWN = "priorbench"
SOFTWARE = ("torch", "numpy")
"""Libraries whose versions change numbers."""

RESULTS, MADE = ("cells", "jobs"), (SETS, "features", "prints")
"""Where below the output folder, and below the data folder, jobs write."""

TRIES = 4
"""How often a machine looks for a file, a second apart: a network disk may tell others of a new one a moment later."""


@dataclass(frozen=True)
class Mark:
    """A file that every machine must see alike."""

    what: str
    folder: str
    file: str
    content: str
    written: tuple[str, ...] = ()
    """The folders that jobs write into, which may have other rights than the one that they lie in."""


@dataclass(frozen=True)
class Evidence:
    """What a machine has to show."""

    marks: tuple[Mark, ...] = ()
    versions: Mapping[str, str] | None = None
    code: str = ""
    """A digest of this package's source (harness.core.own_code): one version may be several states of a checkout."""
    plugins: Mapping[str, str] | None = None
    """Digests by absolute path."""


def gather(shared: Shared) -> Evidence:
    """The evidence of this machine. Raises nothing for a folder that cannot be written: then what lies in it counts.

    Makes the folders that jobs write into, so that they have this account's rights from the beginning.
    """
    name = f".nonce-{hashlib.sha256(shared.out.encode()).hexdigest()[:12]}"  # a killed run's is written over
    out, data = _mark("the output folder", shared.out, name), _mark("the data folder", shared.data, name)
    marks = (_written(out, RESULTS), _written(data, MADE) if shared.fills_data else data)
    return Evidence(marks, versions(), own_source(), {path: _digest(path) for path in shared.plugins})


def forget(evidence: Evidence) -> None:
    """Removes the files that `gather` left."""
    for mark in evidence.marks:
        if is_url(mark.file):
            with suppress(HarnessError):
                Store(mark.folder).remove([_key(mark)])
        elif mark.file:
            with suppress(OSError):
                os.unlink(mark.file)
            for folder in mark.written or (mark.folder,):
                for left in glob.glob(f"{glob.escape(os.path.join(folder, _key(mark)))}-*"):  # by one that was stopped
                    with suppress(OSError):
                        os.unlink(left)


def shortcomings(evidence: Evidence) -> list[str]:
    """Why this machine cannot run the jobs, each as a few words; empty when it can. To be called on the machine."""
    found = [reason for mark in evidence.marks if (reason := _unseen(mark) or _unwritable(mark))]
    found += _other_software(evidence)
    for path, digest in (evidence.plugins or {}).items():
        if _digest(path) not in ("", digest):  # a file that is not there comes with the job
            found.append(f"the plug-in {path} is another file there")
    return found


def _other_software(evidence: Evidence) -> list[str]:
    own, wanted = versions(), evidence.versions or {}
    unlike = [name for name in wanted if own.get(name) != wanted[name]]
    found = [f"{name} is {own.get(name) or 'missing'} there and {wanted[name]} here" for name in unlike]
    if evidence.code not in ("", own_source()) and OWN not in unlike:
        found.append(f"the code of {OWN} is another there, though its version is the same")
    return found


def versions() -> dict[str, str]:
    """What a process of this machine runs on, by name."""
    found = {OWN: package_version(), "Python": ".".join(platform.python_version_tuple()[:2])}
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
        with suppress(OSError):
            return Mark(what, os.path.abspath(folder), "", _names(folder))
        return Mark(what, os.path.abspath(folder), "", "")
    return Mark(what, os.path.abspath(folder), path, content)


def _written(mark: Mark, names: Sequence[str]) -> Mark:
    """The mark of a folder that jobs write into, and into those of these names below it, but for those that are closed
    to this account as well: jobs that only read there are none the worse. A store has no folders.
    """
    if is_url(mark.file) or not mark.file:
        return replace(mark, written=(mark.folder,))
    below = [os.path.join(mark.folder, name) for name in names]
    with suppress(OSError):  # then the first job that needs it says so
        for folder in below:
            os.makedirs(folder, exist_ok=True)
    return replace(mark, written=(mark.folder, *(folder for folder in below if not _refused(mark, folder))))


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
        reason = _unlike(mark)
        if not reason or not os.path.isdir(mark.folder):
            break
    return reason and f"{mark.what} {mark.folder} {reason}"


def _unlike(mark: Mark) -> str:
    """What is wrong with a folder, as what follows its name; empty when it is the one that the driver sees."""
    if not os.path.isdir(mark.folder):
        return "is not there"
    try:
        found = Path(mark.file).read_text(encoding="ascii", errors="replace") if mark.file else _names(mark.folder)
    except FileNotFoundError:
        return "is another folder there"
    except OSError as error:
        return f"cannot be read there: {error.strerror}"
    return "" if found == mark.content else "is another folder there"


def _unwritable(mark: Mark) -> str:
    """Why jobs could not write into a folder that is the right one; empty when they can, or need not."""
    return next((reason for folder in mark.written if (reason := _refused(mark, folder))), "") if mark.file else ""


def _refused(mark: Mark, folder: str) -> str:
    name = f"{_key(mark)}-{uuid.uuid4().hex[:12]}"
    try:
        if is_url(mark.file):
            Store(folder).write(name, mark.content.encode())
            Store(folder).remove([name])
        else:
            _write(os.path.join(folder, name), mark.content)
    except (OSError, HarnessError) as error:
        said = error.what if isinstance(error, HarnessError) else error.strerror
        return f"{mark.what} {folder} cannot be written there: {said}"
    return ""


def _write(path: str, content: str) -> None:
    """Writes a file to the disk, and removes it."""
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        raise
    os.unlink(path)


def _names(folder: str) -> str:
    """A digest of the names in a folder that are no temporary files."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()


def _digest(path: str) -> str:
    with suppress(OSError):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""
