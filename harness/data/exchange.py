"""Moves prepared sets between the data folder and another store: whole sets are pushed, and pulled shard by shard."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from harness.api.sets import ORIGIN, SETS, PreparedSet
from harness.core.damage import damage_noted, forget_damage, held
from harness.core.errors import DataError
from harness.core.names import unfit_name
from harness.core.paths import (
    atomic_folder,
    below,
    unread,
)
from harness.data.checked import verify_file
from harness.data.index import INDEX
from harness.data.manifest import MANIFEST, FileEntry, Manifest, files_of, manifest_of, read_manifest, true_hint
from harness.data.origin import AGAIN_THERE, OriginNote, origin_of, read_note, write_note
from harness.data.store_place import Place, placed_by, size_at
from harness.data.verified import Verified
from harness.storage.reach import done, store_of

PUSHED = ".push.json"
"""Lies beside the files of a push that is not finished: the digest of the manifest that they belong to."""
_MAKE_ROOM = "remove it, or pull into another data folder"


def splits_here(data: Path, name: str) -> list[Path]:
    """The folders of the splits of a prepared set, sorted. Raises DataError when there is none."""
    folder = below(data, SETS, name)
    found = sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST}"))
    if not found:
        raise DataError("there is no such prepared set", where=str(folder), hint="bench data list shows those here")
    return found


def push(folder: Path, url: str, *, verify: bool = False) -> int:
    """Copies the folder of a split to `<url>/<set>/<split>`: shards first, the manifest last. Gives the bytes copied.

    A set of degraded images brings along the one that has its clean images. A killed push leaves a note of whose files
    lie there (`PUSHED`); of the same set they are left as they are, so that pushing again goes on, and any others are
    written over. With `verify`, what lies there is read, and what is not the set's is written over, too. Raises
    DataError when the place has another set, Damaged for a file here that is not what the manifest says, HarnessError
    (kind `storage`) for a local folder that cannot be written, and as harness.storage.reach.tried.
    """
    manifest, sha256 = _manifest_here(folder)
    source = manifest.set.source
    copied = 0 if source is None else push(folder.parents[1] / source.name / source.split, url, verify=verify)
    store, root = store_of(url)
    place = Place(store, f"{root}/{folder.parent.name}/{folder.name}", f"{url}/{folder.parent.name}/{folder.name}")
    with placed_by("--to"):
        return copied + _push(folder, manifest, sha256, place, verify)


def _push(folder: Path, manifest: Manifest, sha256: str, place: Place, verify: bool) -> int:
    """Copies the files of one split. Gives the bytes copied."""
    known = place.content(MANIFEST)
    if known is not None and verify and not _is_manifest(known):
        known = None
    if known is not None and known != (folder / MANIFEST).read_bytes():
        hint = "remove that set first, or choose another place"
        raise DataError("another set of this name lies there", where=place.url, hint=hint)
    entries = (*manifest.shards, manifest.index)
    others = known is None and not verify and place.content(PUSHED) != sha256.encode()  # perhaps of the same size
    lacking = [entry for entry in entries if others or not place.has(entry, verify=verify)]
    _check_here(folder, manifest, lacking)
    if known is None and place.content(PUSHED) != sha256.encode():
        for entry in lacking:
            place.remove(entry.name)
        place.write(PUSHED, sha256.encode())
    for entry in lacking:
        place.put(folder / entry.name)
    if known is None:
        place.put(folder / MANIFEST)
    place.remove(PUSHED)
    return sum(entry.bytes for entry in lacking)


def _is_manifest(content: bytes) -> bool:
    try:
        manifest_of(content, MANIFEST)
    except DataError:
        return False
    return True


def _check_here(folder: Path, manifest: Manifest, entries: Sequence[FileEntry]) -> None:
    """Fetches the files that are to be copied, of a pulled set, and compares them with the manifest."""
    with damage_noted(folder), true_hint(folder), Verified(folder) as verified:
        origin = origin_of(folder, files_of(manifest))
        for entry in entries:
            if origin is not None and entry.name != INDEX and origin.local(entry.name) is None:
                hint = "pull it without a limit first"
                raise DataError("this set is not here as a whole", where=str(folder), hint=hint)
            verify_file(folder / entry.name, entry, verified)


def pull(url: str, data: Path, *, limit: int | None = None) -> list[Path]:
    """Makes the sets below a URL (of one set, or of one of its splits) known here. Gives their folders.

    Their manifests and indices are copied; shards come as they are read, `limit` bytes of a split's at most. A set of
    degraded images brings along the one that has its clean images. A set that is here already keeps its shards.
    Raises DataError when nothing is there, or a set of another content is here.
    """
    store, root = store_of(url)
    found = _found_at(store, root, url)
    root = root.rstrip("/")
    url = root if isinstance(store, LocalFileSystem) else url.rstrip("/")  # the note holds wherever it is read
    pulled: dict[Path, None] = {}
    for path in found:
        with placed_by("--data"):
            for folder in _pulled(store, path, f"{url}{path.removeprefix(root)}", data, limit):
                pulled[folder] = None
    return list(pulled)


def sets_at(url: str) -> list[PreparedSet]:
    """The prepared sets below a URL, of one set, or of one of its splits. Raises DataError when nothing is there."""
    store, root = store_of(url)
    paths = _found_at(store, root, url)
    contents = [done(partial(store.cat_file, f"{path}/{MANIFEST}"), url) for path in paths]
    return [manifest_of(bytes(content), f"{url}/{MANIFEST}")[0].set for content in contents]


def _found_at(store: fsspec.AbstractFileSystem, root: str, url: str) -> list[str]:
    """The folders with a manifest: the place itself (a split), those in it (a set), or those in these."""
    places = [root]
    for _ in range(3):
        found = [path for path in places if size_at(store, f"{path}/{MANIFEST}", url) is not None]
        if found:
            return found
        places = [path for place in places for path in _folders(store, place, url)]
    raise DataError("no prepared set lies there", where=url, hint="bench data push SET --to URL puts one there")


def _pulled(store: fsspec.AbstractFileSystem, path: str, url: str, data: Path, limit: int | None) -> list[Path]:
    """The folders of a split and of the one that has its clean images."""
    content = done(lambda: bytes(store.cat_file(f"{path}/{MANIFEST}")), f"{url}/{MANIFEST}")
    try:
        manifest, _ = manifest_of(content, f"{url}/{MANIFEST}")
    except DataError as error:
        raise DataError(error.what, where=error.where, hint=AGAIN_THERE) from error
    for name in (manifest.set.name, manifest.set.split):
        if unfit := unfit_name(name):
            raise DataError(f"it names the set {name!r}: {unfit}", where=f"{url}/{MANIFEST}", hint="another set")
    source, before = manifest.set.source, []
    if source is not None:
        beside, above = f"{source.name}/{source.split}", url.rsplit("/", 2)[0]
        before = _pulled(store, f"{path.rsplit('/', 2)[0]}/{beside}", f"{above}/{beside}", data, limit)
    folder, note = manifest.set.folder(data), OriginNote(url=url, limit=limit)
    for above_it in (data, data / SETS, folder.parent, folder):
        if os.path.lexists(above_it) and not above_it.is_dir():
            raise DataError("this is no folder", where=str(above_it), hint=_MAKE_ROOM)
    with held(folder):
        if folder.is_dir():
            _check_same(folder, content)
            if (folder / ORIGIN).exists() or not all((folder / shard.name).exists() for shard in manifest.shards):
                write_note(folder, note)
                forget_damage(folder)  # which is found again, and mended, when it is not of the note alone
            return [*before, folder]
        index = done(lambda: bytes(store.cat_file(f"{path}/{INDEX}")), f"{url}/{INDEX}")
        if hashlib.sha256(index).hexdigest() != manifest.index.sha256:
            what = "this index is not the one that the manifest names"
            raise DataError(what, where=f"{url}/{INDEX}", hint=AGAIN_THERE)
        with atomic_folder(folder) as made:
            (made / MANIFEST).write_bytes(content)
            (made / INDEX).write_bytes(index)
            write_note(made, note)
    return [*before, folder]


def _check_same(folder: Path, content: bytes) -> None:
    """Raises DataError for a folder whose manifest is another one, or cannot be read."""
    try:
        same = (folder / MANIFEST).read_bytes() == content
    except OSError as error:
        what = f"a folder lies here whose manifest cannot be read: {unread(error)}"
        raise DataError(what, where=str(folder), hint=_MAKE_ROOM) from error
    if not same:
        raise DataError("this set is here already, with another content", where=str(folder), hint=_MAKE_ROOM)


def fetch_all(folder: Path) -> int:
    """Fetches all the shards of a pulled split that are to be kept here. Gives how many lie here then."""
    manifest, _ = _manifest_here(folder)
    origin = origin_of(folder, files_of(manifest))
    if origin is None:
        return len(manifest.shards)
    with placed_by("--data"):
        return sum(origin.local(shard.name) is not None for shard in manifest.shards)


def is_pulled(folder: Path) -> bool:
    """Whether the shards of a split's folder come from another store."""
    return read_note(folder) is not None


def _manifest_here(folder: Path) -> tuple[Manifest, str]:
    with true_hint(folder):
        return read_manifest(folder)


def _folders(store: fsspec.AbstractFileSystem, root: str, url: str) -> list[str]:
    try:
        listed = done(lambda: store.ls(root, detail=False), url)
    except DataError:
        return []
    return sorted(str(path).rstrip("/") for path in listed)
