"""What is known of picture files: their digests, and whether they can be decoded. Each file is looked at once.

The knowledge is kept in the user's cache, `$XDG_CACHE_HOME/priorbench/pictures` (default: `~/.cache`), by path
and what shows a change (harness.core.identity.stamp_of). Where that cannot be written, every process looks for itself.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.damage import held
from harness.core.errors import DataError, HarnessError
from harness.core.identity import digest, file_sha256
from harness.core.paths import unread, write_text
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.reading import read_picture

log = logging.getLogger(__name__)

RULES = 2
"""Version of what `read_picture` takes and refuses: raised when that changes, so that files are looked at again."""
WORTH_SAYING = 256 << 20
"""Bytes from which on hashing takes so long that a line says it."""


class Look(NamedTuple):
    """A decoded file; or what is wrong with it."""

    height: int
    width: int
    channels: int
    dtype: str
    problem: str = ""
    todo: str = ""
    low: float = 0.0
    high: float = 1.0
    """The least and the largest number of one in floats."""


_MEMORY: dict[Path, dict[str, list[Any]]] = {}
_LOCK = threading.Lock()


def cache_folder() -> Path:
    """Where the knowledge is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "priorbench" / "pictures"


def sha256s(files: Sequence[File], place: str) -> list[str]:
    """The SHA-256 of files. `place`: the folder or pattern that they are of; its files are known together.

    Raises DataError for one that cannot be read.
    """
    weight = sum(file.size for file in files)

    def said(count: int) -> None:
        if weight > WORTH_SAYING:
            log.warning("hashing %d files (%.1f GB in all) of %s, once", count, weight / 1e9, place)

    return _known(files, place, "sha256", _sha256, said)


def looks(files: Sequence[File], place: str) -> list[Look]:
    """What decoding each file gives."""

    def said(count: int) -> None:
        log.warning("decoding %d pictures of %s to see that all are whole, once", count, place)

    return [Look(*found) for found in _known(files, place, f"look{RULES}", _look, said if len(files) > 200 else None)]


@contextmanager
def alone(place: str) -> Iterator[None]:
    """Holds what is known of a folder, so that several processes do not all look at the same files."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        holder = held(_file_of(place))
        holder.__enter__()
    except (OSError, HarnessError):
        yield
        return
    try:
        yield
    finally:
        holder.__exit__(None, None, None)


def _sha256(file: File) -> str:
    try:
        return file_sha256(file.path)
    except OSError as error:
        raise DataError(f"it cannot be read: {unread(error)}", where=file.path) from error


def _look(file: File) -> list[Any]:
    if file.error:  # what is no file may never end
        return [0, 0, 0, "", file.error, ""]
    try:
        pixels = read_picture(file.path)
    except DataError as error:
        return [0, 0, 0, "", error.what, error.hint]
    span = [float(pixels.min()), float(pixels.max())] if pixels.dtype.kind == "f" else []
    return [*pixels.shape, str(pixels.dtype), "", "", *span]


def _known(
    files: Sequence[File], place: str, what: str, find: Callable[[File], Any], said: Callable[[int], None] | None
) -> list[Any]:
    """A fact of each file, found for those that are new or have changed, and kept."""
    with _LOCK:
        memory = _MEMORY.setdefault(_file_of(place), {})
    marks = [(f"{what}:{file.path}", list(file.stamp)) for file in files]
    if any(memory.get(name, [None])[0] != mark for name, mark in marks):
        for name, entry in _stored(place).items():
            memory.setdefault(name, entry)
    new = [at for at, (name, mark) in enumerate(marks) if memory.get(name, [None])[0] != mark]
    if new:
        if said is not None:
            said(len(new))
        with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)) + 1)) as pool:
            for at, found in zip(new, pool.map(find, [files[at] for at in new]), strict=True):
                name, mark = marks[at]
                memory[name] = [mark, found]
        _store(place, memory)
    return [memory[name][1] for name, _ in marks]


def _file_of(place: str) -> Path:
    return cache_folder() / f"{digest(os.path.abspath(place))}.json"


def _stored(place: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(_file_of(place).read_bytes())
    except (OSError, ValueError):
        return {}
    fit = isinstance(content, dict) and all(isinstance(entry, list) and len(entry) == 2 for entry in content.values())
    return content if fit else {}


def _store(place: str, memory: dict[str, list[Any]]) -> None:
    """Keeps what is known, together with what other processes have found meanwhile."""
    with suppress(HarnessError, OSError):
        write_text(_file_of(place), json.dumps(_stored(place) | memory))
