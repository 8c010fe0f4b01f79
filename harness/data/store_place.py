"""Where the files of prepared sets lie on another store: one folder of it, and the errors of what is done there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from harness.core.damage import sweep
from harness.core.errors import DataError
from harness.core.paths import PLACE_OPTION, atomic_file, write_bytes
from harness.data.manifest import FileEntry
from harness.storage.reach import done


@contextmanager
def placed_by(option: str) -> Iterator[None]:
    """Errors of what is written name the option that says where."""
    token = PLACE_OPTION.set(option)
    try:
        yield
    finally:
        PLACE_OPTION.reset(token)


@dataclass(frozen=True)
class Place:
    """The folder of a split on a store, where it may not be yet. All raise as `done`."""

    store: fsspec.AbstractFileSystem
    path: str
    url: str

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when it is not there."""
        return size_at(self.store, f"{self.path}/{name}", f"{self.url}/{name}")

    def content(self, name: str) -> bytes | None:
        """Of a file; None when it is not there."""
        if self.size(name) is None:
            return None
        return done(lambda: bytes(self.store.cat_file(f"{self.path}/{name}")), f"{self.url}/{name}")

    def has(self, entry: FileEntry, *, verify: bool) -> bool:
        """Whether a file lies there: of its size, and with `verify` of its content."""
        if self.size(entry.name) != entry.bytes:
            return False
        return not verify or done(lambda: self._sha256(entry.name), f"{self.url}/{entry.name}") == entry.sha256

    def _sha256(self, name: str) -> str:
        with self.store.open(f"{self.path}/{name}", "rb") as handle:
            found = hashlib.sha256()
            while part := handle.read(2**24):
                found.update(part)
        return found.hexdigest()

    def put(self, file: Path) -> None:
        """A file of a local folder appears whole or not at all, as one of an object store does."""
        if isinstance(self.store, LocalFileSystem):
            target = Path(self.path) / file.name
            sweep(target)
            with atomic_file(target) as temporary:
                shutil.copyfile(file, temporary)
            return
        done(lambda: self.store.put_file(str(file), f"{self.path}/{file.name}"), f"{self.url}/{file.name}")

    def write(self, name: str, content: bytes) -> None:
        if isinstance(self.store, LocalFileSystem):
            write_bytes(Path(self.path) / name, content)
            return
        done(lambda: self.store.pipe_file(f"{self.path}/{name}", content), f"{self.url}/{name}")

    def remove(self, name: str) -> None:
        """Nothing happens to what is not there."""
        if self.size(name) is not None:
            done(lambda: self.store.rm_file(f"{self.path}/{name}"), f"{self.url}/{name}")


def size_at(store: fsspec.AbstractFileSystem, path: str, url: str) -> int | None:
    """Bytes of a file on a store; None when it is not there."""
    try:
        return int(done(lambda: store.size(path), url))
    except DataError:
        return None
