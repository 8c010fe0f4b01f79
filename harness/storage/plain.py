"""Single small files of a working copy that are objects of the same name on the store: job files, suites, notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from harness.core.paths import atomic_file, write_json
from harness.storage.copies import copy_at
from harness.storage.mirror import AT_ONCE
from harness.storage.state import Stamp, stamp_of


def send_file(path: Path) -> str | None:
    """Puts a file of a working copy on its store as it is here; removes it there when it is not here.

    Gives its URL; None, and nothing happens, in plain folders. Raises as harness.storage.reach.done.
    """
    copy = copy_at(path)
    if copy is None:
        return None
    key = copy.unit(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        copy.store.remove([key])
    else:
        copy.store.write(key, content)
    return f"{copy.url}/{key}"


def bring_file(path: Path) -> bool:
    """Makes a file of a working copy what the store has, or removes it; whether the store has it. Without effect in
    plain folders. Raises as harness.storage.reach.done."""
    copy = copy_at(path)
    if copy is None:
        return path.is_file()
    content = copy.store.read(copy.unit(path))
    if content is None:
        path.unlink(missing_ok=True)
        return False
    with suppress(OSError):
        if path.read_bytes() == content:
            return True
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return True


def bring_files(folder: Path, wanted: Callable[[str], bool], *, only_new: bool = False) -> None:
    """Makes those files below a folder whose names are wanted what the store has; others are left alone.

    `only_new`: those that are here stay, and none is removed, as files of one name never differ.
    """
    copy = copy_at(folder)
    if copy is None:
        return
    prefix = copy.unit(folder)
    note = copy.root / "state" / f"{prefix}.files"
    known = _known(note)
    seen = {key: each for key, each in copy.store.find(prefix).items() if wanted(key.removeprefix(f"{prefix}/"))}
    lacking = [
        key
        for key, each in seen.items()
        if not (only_new and (copy.files / key).exists())
        and (not each.changed or known.get(key) != [each.changed, *(_stamp(copy.files / key) or ())])
    ]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store") as pool:
        list(pool.map(lambda key: bring_file(copy.files / key), lacking))
    for path in () if only_new else [path for path in folder.rglob("*") if path.is_file()]:
        if copy.unit(path) not in seen and wanted(path.relative_to(folder).as_posix()):
            path.unlink(missing_ok=True)
    write_json(note, {key: [each.changed, *(_stamp(copy.files / key) or ())] for key, each in seen.items()})


def send_new(folder: Path) -> None:
    """Puts the files below a folder on the store that it does not have; files of one name never differ."""
    copy = copy_at(folder)
    if copy is None:
        return
    there = copy.store.find(copy.unit(folder))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name[0] != "." and copy.unit(path) not in there:
            send_file(path)


def _known(note: Path) -> dict[str, list[object]]:
    try:
        found: dict[str, list[object]] = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp_of(path)
    except OSError:
        return None
