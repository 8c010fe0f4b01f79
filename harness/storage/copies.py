"""Working copies: where a machine keeps the files of a store's folder, so that everything else works on local paths.

`<copies>/<name>.<digest of the URL>.<host>/` holds `store.json` (the URL), `files/` (the folder as it is here), what of
it is known to be on the store in `state/`, and `locks/`. Only what this machine needed lies here, and all of it may be
removed.

Several machines may share the folder of copies, as in a home on a network disk: each has copies of its own there, as
processes and locks are told apart by one machine alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from harness.core.identity import digest
from harness.core.paths import storage_error, write_json
from harness.storage.reach import is_url
from harness.storage.store import Store, parsed

FILES = "files"
_NOTE = "store.json"
_BESIDE = re.compile(r"\.(?P<name>.+)\.(anew|old)")
"""The folders in which a cell is made again, or waits for its removal (harness.core.paths.Layout)."""


def copies_folder() -> Path:
    """$PRIORBENCH_STORES, else `priorbench/stores` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "priorbench" / "stores"
    return Path(os.environ.get("PRIORBENCH_STORES") or cache).expanduser().absolute()


@dataclass(frozen=True)
class Copy:
    """The working copy of one store's folder."""

    root: Path
    url: str

    @property
    def files(self) -> Path:
        return self.root / FILES

    @cached_property
    def store(self) -> Store:
        return Store(self.url)

    @cached_property
    def id(self) -> str:
        """Which working copy this is, among those of all machines."""
        return str(json.loads((self.root / _NOTE).read_bytes()).get("id", ""))

    def unit(self, path: Path) -> str:
        """What a file or folder of the copy is called on the store."""
        return path.relative_to(self.files).as_posix()

    def state_file(self, unit: str) -> Path:
        return self.root / "state" / f"{unit}.json"


def copy_of(url: str) -> Copy:
    """The working copy of a URL's folder, which is made if there is none.

    Raises HarnessError for what cannot be such a URL, or (kind `storage`) when nothing can be written here.
    """
    url = parsed(url)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", url.partition("://")[2])[-60:].strip("-.")
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())
    copy = Copy(copies_folder() / f"{name}.{digest(url, 12)}.{host}", url)
    if not (copy.root / _NOTE).is_file():
        try:
            copy.files.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, copy.root) from error
        write_json(copy.root / _NOTE, {"url": url, "id": uuid.uuid4().hex})
    return copy


def copy_at(path: Path) -> Copy | None:
    """The working copy that a path lies in; None for those of plain folders."""
    for folder in (path, *path.parents):
        if folder.name == FILES and (copy := _noted(folder.parent)) is not None:
            return copy
    return None


def _noted(root: Path) -> Copy | None:
    return _known(root) if (root / _NOTE).is_file() else None


@lru_cache(maxsize=64)
def _known(root: Path) -> Copy:
    return Copy(root, str(json.loads((root / _NOTE).read_bytes())["url"]))


def folder_of(place: str) -> Path:
    """A folder by its path, or the working copy of one by its URL. Raises as `copy_of`."""
    return copy_of(place).files if is_url(place) else Path(place)


def shown_place(path: Path) -> str:
    """What people call a folder: its URL where it is the working copy of a store's, else its path."""
    return url_of(path) or str(path)


def url_of(path: Path) -> str | None:
    """Where a file or folder of a working copy lies on its store; None for others."""
    copy = copy_at(path)
    if copy is None:
        return None
    unit = copy.unit(path)
    return copy.url if unit == "." else f"{copy.url}/{unit}"


def family(unit: str) -> str:
    """The unit whose files it shares: of a cell that is made again, the cell's."""
    folder, _, name = unit.rpartition("/")
    beside = _BESIDE.fullmatch(name)
    return f"{folder}/{beside['name']}" if beside else unit


def relatives(unit: str) -> list[str]:
    """The units that share their files with a unit, itself included."""
    folder, _, name = family(unit).rpartition("/")
    return [f"{folder}/{each}" for each in (name, f".{name}.anew", f".{name}.old")]


@contextmanager
def held_here(copy: Copy, unit: str, wait: float) -> Iterator[bool]:
    """Holds a unit's files on this machine while the block runs; whether it was free within so many seconds.

    The lock is the kernel's and vanishes with its process.
    """
    path = copy.root / "locks" / family(unit).replace("/", "+")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        yield _locked(descriptor, wait)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, wait: float) -> bool:
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        else:
            return True
