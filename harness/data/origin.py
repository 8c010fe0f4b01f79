"""Prepared sets whose shards lie on another store, such as `s3://bucket/sets`, and come here as they are read.

A set that was pulled has its manifest and index in the data folder, like any other, and a note, `origin.json`, of where
its shards lie. A shard is fetched whole when it is read first, compared with the manifest's SHA-256, and kept beside
the index, for all processes of the machine. Of a set that is larger than the note's limit the first shards are kept, as
many as fit; from the others only what is asked for is read. Every image of an epoch is as likely as any other, so that
nothing is gained by replacing one kept shard by another.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from harness.api.reference import Frozen
from harness.api.sets import ORIGIN
from harness.core.damage import held, sweep, unreadable
from harness.core.errors import Damaged, DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.paths import atomic_file, remove_away, unread, write_json
from harness.storage.reach import store_of, tried

log = logging.getLogger(__name__)

AGAIN_THERE = "where the set is sound: bench data push SET --to URL --verify"
AHEAD = 2
"""Shards that are fetched at once ahead of their reading."""


class OriginNote(Frozen):
    """What `origin.json` says."""

    url: str
    """The folder of the set's split on the store."""
    limit: int | None = None
    """Bytes of shards that are kept here at most; None: all of them."""


@dataclass(frozen=True)
class Shard:
    """A shard, or another file of a set, as the manifest names it."""

    name: str
    sha256: str
    bytes: int


class Origin:
    """Where the shards of a set's folder come from. Threads may use one together."""

    def __init__(self, folder: Path, note: OriginNote, shards: Sequence[Shard]) -> None:
        self.folder, self.note = folder, note
        self._shards = {shard.name: shard for shard in shards}
        self._kept = _fitting(shards, note.limit)
        self._lock = threading.Lock()
        self._wanted: list[str] = []
        self._fetching: set[str] = set()

    @cached_property
    def _store(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return store_of(self.note.url)

    def local(self, name: str) -> Path | None:
        """The shard on this machine, fetched if it is not there yet; None for one that is not to be kept here, or
        cannot be, as the folder cannot be written.

        Raises as `tried`; DataError, too, when the store has another shard than the manifest names.
        """
        shard, path = self._shards[name], self.folder / name
        if _is_there(path, shard):
            return path
        if name not in self._kept or not os.access(self.folder, os.W_OK):
            return None
        with held(path):
            if not _is_there(path, shard):  # another process may have fetched it meanwhile
                self._fetch(shard, path)
        return path

    def mend(self, file: Shard) -> None:
        """Fetches a damaged shard, or another file of the set, anew; nothing happens to a sound one.

        A damaged one that is not to be kept here is removed. Raises as `local`; the damaged file is gone then.
        """
        path = self.folder / file.name
        with held(path):
            if _is_there(path, file) and file_sha256(path) == file.sha256:
                return  # another thread or process has fetched it meanwhile
            if os.path.lexists(path):
                log.warning("removed, because it is damaged: %s", path)
                remove_away(path)
            if file.name in self._kept or file.name not in self._shards:
                self._fetch(file, path)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Some bytes of a shard, from the store itself. Raises as `tried`."""
        store, root = self._store
        found: bytes = tried(
            lambda: store.cat_file(f"{root}/{name}", start=offset, end=offset + length), f"{self.note.url}/{name}"
        )
        if len(found) != length:
            raise self._other(name, f"{len(found)} bytes where {length} were asked for")
        return found

    def ahead(self, names: Iterable[str]) -> None:
        """Fetches the shards that are to be kept here, in this order, in the background, until `close`.

        Another call gives another order to what is still to come. What fails is left to whoever reads it.
        """
        wanted = [name for name in dict.fromkeys(names) if name in self._kept]
        wanted = [name for name in wanted if not _is_there(self.folder / name, self._shards[name])]
        with self._lock:
            self._wanted = [name for name in reversed(wanted) if name not in self._fetching]
            for name in [self._wanted.pop() for _ in range(min(AHEAD - len(self._fetching), len(self._wanted)))]:
                self._fetching.add(name)
                threading.Thread(target=self._fetch_on, args=[name], name="fetch-ahead", daemon=True).start()

    def close(self) -> None:
        """Ends what goes on in the background after the shards that it is at."""
        with self._lock:
            self._wanted = []

    def _fetch_on(self, name: str | None) -> None:
        """Fetches a shard, and those that are wanted next. Runs in threads."""
        while name is not None:
            try:
                self.local(name)
            except HarnessError as error:
                log.debug("not fetched ahead: %s", error)
                self.close()
            with self._lock:
                self._fetching.discard(name)
                name = self._wanted.pop() if self._wanted else None
                if name is not None:
                    self._fetching.add(name)

    def _fetch(self, shard: Shard, path: Path) -> None:
        store, root = self._store
        url = f"{self.note.url}/{shard.name}"
        sweep(path)
        if path.is_dir():  # which no file can replace
            remove_away(path)
        with atomic_file(path) as temporary:
            tried(lambda: store.get_file(f"{root}/{shard.name}", str(temporary)), url)
            if temporary.stat().st_size != shard.bytes or file_sha256(temporary) != shard.sha256:
                raise self._other(shard.name, "its SHA-256 is another")

    def _other(self, name: str, how: str) -> DataError:
        what = f"this file is not the one that the manifest names: {how}"
        return DataError(what, where=f"{self.note.url}/{name}", hint=AGAIN_THERE)


@dataclass(frozen=True)
class Distant:
    """A shard that is read on the store itself."""

    origin: Origin
    name: str

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on."""
        return self.origin.read(self.name, offset, length)


def origin_of(folder: Path, shards: Sequence[Shard]) -> Origin | None:
    """Where the shards of a set's folder come from; None when they are all made here.

    Raises as `read_note`.
    """
    note = read_note(folder)
    return None if note is None else Origin(folder, note, shards)


def read_note(folder: Path) -> OriginNote | None:
    """The note of a set's folder; None without one. Raises Damaged for one that is none, DataError for one that cannot
    be read now."""
    path = folder / ORIGIN
    what, again = "this note of where the shards lie cannot be read", f"bench data pull URL --data {folder.parents[2]}"
    try:
        return OriginNote.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error, f"{what}: {unread(error)}", again=again) from error
    except ValueError as error:
        raise Damaged(what, where=str(path), hint=f"pull the set again: {again}") from error


def write_note(folder: Path, note: OriginNote) -> None:
    """Notes where the shards of a set's folder lie."""
    write_json(folder / ORIGIN, json.loads(note.model_dump_json()))


def _is_there(path: Path, shard: Shard) -> bool:
    """Whether a shard lies here; it was compared with its digest when it came."""
    try:
        return path.is_file() and path.stat().st_size == shard.bytes
    except OSError:
        return False


def _fitting(shards: Sequence[Shard], limit: int | None) -> frozenset[str]:
    """The first shards that fit into a limit together."""
    kept: set[str] = set()
    room: Any = float("inf") if limit is None else limit
    for shard in shards:
        room -= shard.bytes
        if room < 0:
            break
        kept.add(shard.name)
    return frozenset(kept)
