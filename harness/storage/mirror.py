"""Units of a working copy (harness.storage.state) on their way from the store: its state, compared with its digests,
takes the place of what is here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.core.beat import beat
from harness.core.identity import file_sha256
from harness.core.paths import atomic_file, remove_away
from harness.storage.copies import Copy, copy_at, family, held_here
from harness.storage.state import (
    POINTERS,
    Entry,
    Known,
    Pointer,
    content_key,
    forget_known,
    read_known,
    read_pointer,
    stamp_of,
    stamps,
    temporaries,
    write_known,
)
from harness.storage.store import Seen

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Objects that one machine sends or gets at the same time."""
TRIES = 3
"""How often a state that another process replaced meanwhile is read again."""

Wanted = Callable[[str], bool]
"""Which files of a unit are to lie here, by name."""


def everything(name: str) -> bool:
    return True


def shown(name: str) -> bool:
    """What is small: all but weights."""
    return not name.startswith("checkpoint/")


def records(name: str) -> bool:
    """What tables and plans need."""
    return shown(name) and not name.startswith("samples/")


def fetch(copy: Copy, unit: str, wanted: Wanted = everything, *, changed: str = "") -> bool:
    """Makes the folder of a unit what the store has: files that differ are fetched, others removed. Files that are not
    wanted are removed when they are others than the store's, and so are the remains of writes that were cut off: the
    unit is to be held (held_here). Gives whether the store has it.

    A file that does not come as its digest says, tried again, is placed as it came and judged like a damaged one on a
    disk. Raises as harness.storage.reach.done, and DataError for a damaged pointer.
    """
    for left in range(TRIES, 0, -1):
        pointer = read_pointer(copy, unit)
        folder = copy.files / unit
        if pointer is None:
            remove_away(folder)
            forget_known(copy, unit)
            return False
        if _fetched(copy, unit, pointer, wanted, changed, last=left == 1):
            return True
    raise AssertionError(unit)


def _fetched(copy: Copy, unit: str, pointer: Pointer, wanted: Wanted, changed: str, *, last: bool) -> bool:
    """Whether all of a state came; not when files of it are gone, as when it was replaced meanwhile."""
    folder, known, here = copy.files / unit, read_known(copy, unit), stamps(copy.files / unit)
    same = {
        name
        for name, entry in pointer.files.items()
        if known.files.get(name) == entry and known.holds(name, here.get(name))
    }
    lacking = sorted(name for name in pointer.files if name not in same and wanted(name))
    folder.mkdir(parents=True, exist_ok=True)
    for left in temporaries(folder):
        remove_away(left)
    for name in here.keys() - same - set(lacking):
        remove_away(folder / name)
    for place in {(folder / name).parent for name in pointer.files}:
        if place.exists() and not place.is_dir():
            remove_away(place)
        place.mkdir(parents=True, exist_ok=True)
    lacking.sort(key=lambda name: name == "record.json")  # it says what the others are
    came = each_of(lambda name: _get(copy, unit, pointer.files[name], folder / name), lacking)
    if None in came.values() and not last:
        return False
    _without_empty(folder)
    held = {name: known.held[name] for name in same} | {name: stamp_of(folder / name) for name in came if came[name]}
    write_known(copy, unit, Known(pointer.version, dict(pointer.files), held, changed))
    return True


def _get(copy: Copy, unit: str, entry: Entry, path: Path) -> bool | None:
    """Fetches a file; whether it is what its digest says, None when the store does not have it."""
    key = content_key(unit, entry.sha256)
    if path.is_dir() and not path.is_symlink():
        remove_away(path)
    with suppress(_Missing):
        for _ in range(2):
            beat()
            with atomic_file(path) as temporary:
                if not copy.store.get(key, temporary):
                    raise _Missing
            if file_sha256(path) == entry.sha256:
                return True
        log.warning("%s/%s: this file is not what it was", copy.url, key)
        return False
    log.warning("%s/%s: this is not there", copy.url, key)
    return None


class _Missing(Exception):
    """The store does not have an object."""


def _without_empty(folder: Path) -> None:
    """Removes empty folders of folders, but for that of weights, which says that a training was begun."""
    for place, _, _ in os.walk(folder, topdown=False):
        if Path(place) != folder and Path(place).name != "checkpoint":
            with suppress(OSError):
                os.rmdir(place)


def each_of(action: Callable[[str], Any], names: Iterable[str]) -> dict[str, Any]:
    """What an action gives for each name, several at once; the last one after all others."""
    every = list(names)
    if not every:
        return {}
    *first, last = every
    if not first:
        return {last: action(last)}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store") as pool:
        found = dict(zip(first, pool.map(action, first), strict=True))
    return found | {last: action(last)}


def fetch_all(copy: Copy, prefix: str, wanted: Wanted) -> None:
    """Fetches all units below a folder, as far as they have changed there or here; those that the store does not have
    are removed here. A unit that a process of this machine works on is left alone."""
    root = f"{POINTERS}/{prefix}"
    found = {
        key.removeprefix(f"{POINTERS}/").removesuffix(".json"): seen for key, seen in copy.store.find(root).items()
    }
    gone = _here(copy, prefix) - found.keys()
    changed = {unit for unit, seen in found.items() if _differs(copy, unit, seen, wanted)}
    related: dict[str, list[str]] = {}
    for unit in sorted(gone | changed):
        related.setdefault(family(unit), []).append(unit)

    def one(name: str) -> None:
        with held_here(copy, name, wait=0) as free:
            for unit in related[name] if free else ():
                fetch(copy, unit, wanted, changed=found[unit].changed if unit in found else "")

    each_of(one, related)


def _here(copy: Copy, prefix: str) -> set[str]:
    """The units below a folder that lie here or did: folders of cells, and all that is known of."""
    folder, states = copy.files / prefix, copy.root / "state" / prefix
    known = {path.relative_to(copy.root / "state").as_posix().removesuffix(".json") for path in states.rglob("*.json")}
    if prefix != "cells":
        return known
    with suppress(OSError):
        known |= {f"{prefix}/{path.name}" for path in folder.iterdir() if not path.name.endswith(".tmp")}
    return known


def _differs(copy: Copy, unit: str, seen: Seen, wanted: Wanted) -> bool:
    """Whether a unit is another here than on the store, as far as a listing and the look of files tell."""
    known = read_known(copy, unit)
    if not seen.changed or known.changed != seen.changed:
        return True
    if stamps(copy.files / unit) != known.held:
        return True
    return any(name not in known.held for name in known.files if wanted(name))


def unchanged(copy: Copy, unit: str) -> bool:
    """Whether the folder of a unit is as it was when it came or was published."""
    known = read_known(copy, unit)
    return bool(known.version) and stamps(copy.files / unit) == known.held


def bytes_elsewhere(path: Path) -> int:
    """Bytes of the files of a unit's folder that the store has and that were not fetched to this machine."""
    copy = copy_at(path)
    if copy is None or path == copy.files:
        return 0
    known = read_known(copy, copy.unit(path))
    return sum(entry.bytes for name, entry in known.files.items() if name not in known.held)


def elsewhere(path: Path) -> str | None:
    """SHA-256 of a file that the store has and that was not fetched to this machine; None for all others."""
    copy = copy_at(path)
    if copy is None:
        return None
    for folder in path.parents:
        if folder == copy.files:
            break
        if copy.state_file(copy.unit(folder)).is_file():
            known, name = read_known(copy, copy.unit(folder)), path.relative_to(folder).as_posix()
            return known.files[name].sha256 if name in known.files and name not in known.held else None
    return None
