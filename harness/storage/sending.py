"""Units of a working copy (harness.storage.state) on their way to the store.

The files that the store lacks go first, then the pointer, then the files that no pointer names any more are removed.
Killed anywhere, the old state is whole or the new one is; what lies about is removed by who publishes next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from harness.core.beat import beat
from harness.core.errors import HarnessError
from harness.core.fence import check_fence
from harness.core.identity import file_sha256
from harness.storage.copies import Copy, copy_at, family, relatives
from harness.storage.mirror import TRIES, each_of
from harness.storage.state import (
    CONTENT,
    POINTERS,
    Entry,
    Known,
    Pointer,
    content_key,
    forget_known,
    pointer_key,
    read_known,
    read_pointer,
    stamps,
    write_known,
)


def anybody() -> None:
    """Nothing is to be checked before a state is replaced."""


def publish(
    copy: Copy, unit: str, allowed: Callable[[], None] = anybody, *, whole: bool = False, folder: Path | None = None
) -> None:
    """Makes the store's state of a unit what its folder is here. Files of it that were never fetched stay, but where
    the `whole` folder is here.

    A folder that is not here is removed there. `allowed` is called before anything is replaced or removed, and raises
    when another process has taken over.
    `folder`: where a snapshot of the unit lies. Raises as harness.storage.reach.done.
    """
    place, known = folder or copy.files / unit, read_known(copy, unit)
    if not place.is_dir():
        allowed()
        forget(copy, unit)
        return
    here = stamps(place)
    entries = {
        name: known.files[name] if known.holds(name, stamp) and name in known.files else _entry(place / name)
        for name, stamp in here.items()
    }
    for number in range(TRIES):
        old = read_pointer(copy, unit)
        before = {} if old is None or whole else old.files
        new = Pointer({**{name: each for name, each in before.items() if name not in known.held}, **entries})
        if number or old is None or old.files != new.files:
            _send(copy, unit, place, entries, old)
            allowed()
            check_fence()
            copy.store.write(pointer_key(unit), new.content(unit))
        else:
            new = old
        write_known(copy, unit, Known(new.version, dict(new.files), dict(here)))
        if _settled(copy, unit, new, allowed):
            return
    raise HarnessError(
        "files of it vanish from the store while they are written",
        where=f"{copy.url}/{unit}",
        hint="see who else writes there, then run the same command again",
        kind="storage",
    )


def _entry(path: Path) -> Entry:
    return Entry(file_sha256(path), path.stat().st_size)


def _send(copy: Copy, unit: str, place: Path, entries: Mapping[str, Entry], old: Pointer | None) -> None:
    """Sends the files that the store does not have."""
    there = {key.rpartition("/")[2]: seen for key, seen in copy.store.find(f"{CONTENT}/{family(unit)}").items()}
    wanted = {entry.sha256: name for name, entry in entries.items()}
    lacking = {
        name: sha256
        for sha256, name in wanted.items()
        if sha256 not in there or there[sha256].bytes != entries[name].bytes
    }

    def send(name: str) -> None:
        beat()
        copy.store.put(content_key(unit, lacking[name]), place / name)

    each_of(send, lacking)


def _settled(copy: Copy, unit: str, new: Pointer, allowed: Callable[[], None]) -> bool:
    """Removes the files that no state names; whether all that the new one names are there."""
    there = {key.rpartition("/")[2]: key for key in copy.store.find(f"{CONTENT}/{family(unit)}")}
    if not new.digests <= there.keys():
        return False
    unnamed = there.keys() - new.digests
    if unnamed:
        others = [read_pointer(copy, each) for each in relatives(unit) if each != unit]
        unnamed -= {sha256 for each in others if each is not None for sha256 in each.digests}
    if unnamed:
        allowed()
        now = read_pointer(copy, unit)
        if now is not None and now.version == new.version:
            copy.store.remove(there[sha256] for sha256 in sorted(unnamed))
    return True


def forget(copy: Copy, unit: str) -> None:
    """Removes a unit from the store, its pointer first. The folder here is left alone."""
    copy.store.remove([pointer_key(unit)])
    forget_known(copy, unit)
    _drop_content(copy, unit)


def _drop_content(copy: Copy, unit: str) -> None:
    """Removes the files that no pointer of a unit's relatives names."""
    found = [read_pointer(copy, each) for each in relatives(unit)]
    named = {sha256 for each in found if each is not None for sha256 in each.digests}
    listed = copy.store.find(f"{CONTENT}/{family(unit)}")
    copy.store.remove(key for key in listed if key.rpartition("/")[2] not in named)


def renamed(copy: Copy, before: str, after: str, without: Collection[str] = ()) -> None:
    """Does on the store what renaming the folder of a unit has done here: the state of `before` is that of `after`.

    `without`: files that were removed. Nothing happens where the store has no `before`.
    """
    pointer = read_pointer(copy, before)
    if pointer is None:
        return
    known = read_known(copy, before)
    files = {name: entry for name, entry in pointer.files.items() if name not in without}
    moved = Pointer(files)
    copy.store.write(pointer_key(after), moved.content(after))
    held = {name: stamp for name, stamp in known.held.items() if name in files}
    write_known(copy, after, Known(moved.version, files, held))
    forget(copy, before)


def remove_there(path: Path) -> None:
    """Removes a file or folder of a working copy from the store, with all units in it. Without effect in plain folders.

    Raises as harness.storage.reach.done.
    """
    copy = copy_at(path)
    if copy is None or path == copy.files:
        return
    unit = copy.unit(path)
    for key in [pointer_key(unit), *copy.store.find(f"{POINTERS}/{unit}")]:
        each = key.removeprefix(f"{POINTERS}/").removesuffix(".json")
        if read_pointer(copy, each) is not None:
            forget(copy, each)
    left = copy.store.find(unit)
    copy.store.remove(
        sorted(left, key=lambda key: not key.endswith("/manifest.json"))
    )  # which says that a set is there
