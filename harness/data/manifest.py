"""The manifest of a prepared set: what is in it, what it is made of, and the digests of its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator

from harness.api.reference import Frozen
from harness.api.sets import ORIGIN, PreparedSet
from harness.core.damage import unreadable
from harness.core.errors import Damaged
from harness.core.identity import unsealed
from harness.core.names import unfit_name
from harness.core.outlast import outlast
from harness.core.paths import unread
from harness.data.index import AGAIN, INDEX, damaged
from harness.data.origin import Shard, read_note

CONVERTER = 2
"""Version of harness.data.prepare, raised when the same source images would give other samples."""
MANIFEST = "manifest.json"


def _plain(name: str) -> str:
    if unfit := unfit_name(name):
        raise ValueError(unfit)
    return name


class FileEntry(Frozen):
    """A file of a prepared set."""

    name: Annotated[str, AfterValidator(_plain)]
    """It lies in the set's folder itself."""
    sha256: str
    bytes: int


class ShardEntry(FileEntry):
    """One tar file and how many samples it has."""

    name: str = Field(pattern=r"^[0-9]{6,20}\.tar$")
    samples: int


class Skipped(Frozen):
    """A file that the user told to leave out, and why it could not be used."""

    file: str
    why: str


class Manifest(Frozen):
    """The description of a prepared set. Its content, and so its digest, is the same on every machine."""

    schema_version: Literal[2] = 2
    converter: int
    """`CONVERTER` of the code that wrote it."""
    set: PreparedSet
    """The set that this is, with the data set's fingerprint."""
    licence: str
    images: int
    """Source images, whole."""
    samples: int
    bytes: int
    """Size of all shards."""
    index: FileEntry
    shards: tuple[ShardEntry, ...]
    skipped: tuple[Skipped, ...] = ()
    parents: tuple[str, ...] = ()
    """Digest of the manifest of the set whose clean images it is made of; empty for one made of the data set itself."""

    @field_validator("index")
    @classmethod
    def _is_named_index(cls, index: FileEntry) -> FileEntry:
        if index.name != INDEX:
            raise ValueError(f"the index is called {INDEX}")
        return index


def file_of(entry: FileEntry) -> Shard:
    """A file of the manifest, as where it comes from needs it."""
    return Shard(entry.name, entry.sha256, entry.bytes)


def files_of(manifest: Manifest) -> list[Shard]:
    """The shards of a manifest, as where they come from needs them."""
    return [file_of(entry) for entry in manifest.shards]


@contextmanager
def true_hint(folder: Path) -> Iterator[None]:
    """Damage of a set that comes from another store says how to get it again: its pictures may not be here."""
    try:
        yield
    except Damaged as error:
        if error.where == str(folder / ORIGIN):  # which says itself how to get it again
            raise
        note = read_note(folder)
        if note is None:
            raise
        hint = f"remove {folder}, then: bench data pull {note.url} --data {folder.parents[2]}"
        raise type(error)(error.what, where=error.where, hint=hint) from error


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest and its digest (harness.core.identity.Unsealed)."""
    path = folder / MANIFEST
    try:
        content = outlast(path.read_bytes, path)
    except (FileNotFoundError, NotADirectoryError):
        there = os.path.lexists(folder)
        what = "this prepared set has no manifest" if there else "this prepared set does not exist"
        raise Damaged(what, where=str(folder), hint="run the suite, which prepares it") from None
    except OSError as error:
        raise unreadable(path, error, f"the manifest cannot be read: {unread(error)}", again=AGAIN) from error
    return manifest_of(content, str(path))


def manifest_of(content: bytes, where: str) -> tuple[Manifest, str]:
    """A manifest from the bytes of its file, and its digest. Raises Damaged for other content, or an old one."""
    try:
        found = unsealed(content)
        return Manifest.model_validate(found.content), found.sha256
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        what = str(error).splitlines()[0]
    raise damaged(where, f"the manifest is damaged ({what})")
