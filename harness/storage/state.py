"""What a store has of a unit, and what of it lies on this machine.

A unit is a folder whose state on the store appears whole or not at all: its *pointer*, one small object that is
replaced last, names its files by their digests; the files lie beside it under these digests.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import DataError
from harness.core.identity import json_text, sealed, unsealed
from harness.core.paths import write_json
from harness.storage.copies import Copy, family

POINTERS = "units"
CONTENT = "content"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A file of a unit."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Pointer:
    """The state of a unit on the store. `version` is another one with every replacement."""

    files: Mapping[str, Entry]
    version: str = field(default_factory=lambda: uuid.uuid4().hex)

    def content(self, unit: str) -> bytes:
        files = {name: asdict(self.files[name]) for name in sorted(self.files)}
        value = {"format": _FORMAT, "unit": unit, "version": self.version, "files": files}
        return json_text(sealed(value)).encode()

    @property
    def digests(self) -> set[str]:
        return {entry.sha256 for entry in self.files.values()}


def pointer_key(unit: str) -> str:
    return f"{POINTERS}/{unit}.json"


def content_key(unit: str, sha256: str) -> str:
    return f"{CONTENT}/{family(unit)}/{sha256}"


def read_pointer(copy: Copy, unit: str) -> Pointer | None:
    """A unit's state on the store; None without one. Raises DataError for a pointer that is damaged, or newer."""
    key = pointer_key(unit)
    content = copy.store.read(key)
    if content is None:
        return None
    where = f"{copy.url}/{key}"
    try:
        value = unsealed(content).content
        files = {str(name): Entry(str(each["sha256"]), int(each["bytes"])) for name, each in value["files"].items()}
        found, newer = Pointer(files, str(value["version"])), value["format"] != _FORMAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = "the state of this folder on the store is damaged"
        hint = "remove this object: what it names is made anew"
        raise DataError(what, where=where, hint=hint) from error
    if newer:
        raise DataError("another release wrote the state of this folder", where=where, hint="use that release")
    if unfit := next((name for name in files if not _is_plain(name)), None):
        raise DataError(f"it names a file {unfit!r}, which lies elsewhere", where=where, hint="remove this object")
    return found


def _is_plain(name: str) -> bool:
    """Whether a file's name leads into the folder that it is said of."""
    odd = "\\" in name or "\0" in name
    return not odd and all(part not in ("", ".", "..") for part in name.split("/"))


Stamp = tuple[int, int, int]
"""Bytes, nanoseconds of the last change, and place on the disk, which a file keeps when its folder is renamed."""


@dataclass
class Known:
    """What this machine knows of a unit: its state on the store when last seen, and which of its files lie here."""

    version: str = ""
    files: dict[str, Entry] = field(default_factory=dict)
    held: dict[str, Stamp] = field(default_factory=dict)
    """By name: how a file looked here when it was the store's."""
    changed: str = ""
    """Of the pointer, as a listing showed it (harness.storage.store.Seen); empty when that is not known."""

    def holds(self, name: str, stamp: Stamp | None) -> bool:
        """Whether the file of this name is still what the store had."""
        return stamp is not None and self.held.get(name) == stamp


def read_known(copy: Copy, unit: str) -> Known:
    """Nothing is known where the note is gone or cannot be read."""
    try:
        value: dict[str, Any] = json.loads(copy.state_file(unit).read_bytes())
        files = {name: Entry(*each) for name, each in value["files"].items()}
        held = {name: (int(size), int(at), int(place)) for name, (size, at, place) in value["held"].items()}
        return Known(value["version"], files, held, value["changed"])
    except (OSError, ValueError, KeyError, TypeError):
        return Known()


def write_known(copy: Copy, unit: str, known: Known) -> None:
    """Raises HarnessError (kind `storage`)."""
    files = {name: [entry.sha256, entry.bytes] for name, entry in known.files.items()}
    value = {"version": known.version, "changed": known.changed, "files": files, "held": known.held}
    write_json(copy.state_file(unit), value)


def forget_known(copy: Copy, unit: str) -> None:
    with suppress(OSError):
        copy.state_file(unit).unlink(missing_ok=True)


def stamps(folder: Path) -> dict[str, Stamp]:
    """All files below a folder, by name; temporary ones of writes that go on are left out."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.endswith(".tmp")]
        for name in names:
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):
                if not name.endswith(".tmp"):
                    found[os.path.relpath(path, folder).replace(os.sep, "/")] = stamp_of(path)
    return found


def temporaries(folder: Path) -> list[Path]:
    """The files and folders below a folder that writes work with, or left there when they were cut off."""
    found = []
    for place, folders, names in os.walk(folder):
        found += [Path(place, name) for name in (*folders, *names) if name.endswith(".tmp")]
        folders[:] = [name for name in folders if not name.endswith(".tmp")]
    return found


def stamp_of(path: str | Path) -> Stamp:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino
