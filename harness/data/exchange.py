"""Moves prepared sets between the data folder and another store: whole sets are pushed, and pulled shard by shard."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from harness.api.sets import ORIGIN, SETS
from harness.core.damage import held
from harness.core.errors import DataError
from harness.core.identity import unsealed
from harness.core.paths import atomic_folder, below, unfit_name
from harness.data.index import INDEX
from harness.data.origin import OriginNote, Shard, origin_of, read_note, store_of, tried, write_note
from harness.data.shards import MANIFEST, Manifest


def splits_here(data: Path, name: str) -> list[Path]:
    """The folders of the splits of a prepared set, sorted. Raises DataError when there is none."""
    folder = below(data, SETS, name)
    found = sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST}"))
    if not found:
        raise DataError("there is no such prepared set", where=str(folder), hint="bench data list shows those here")
    return found


def push(folder: Path, url: str) -> int:
    """Copies the folder of a split to `<url>/<set>/<split>`: shards first, the manifest last. Gives the bytes copied.

    A set of degraded images brings along the one that has its clean images. What lies there already, of the same
    size, is left as it is; pushing again goes on where a killed one ended. Raises
    DataError when the place has another set, and as harness.data.origin.tried.
    """
    manifest = read_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    source = manifest.set.source
    copied = 0 if source is None else push(folder.parents[1] / source.name / source.split, url)
    store, root = store_of(url)
    there, at = f"{root}/{folder.parent.name}/{folder.name}", f"{url}/{folder.parent.name}/{folder.name}"
    known = _content(store, f"{there}/{MANIFEST}", f"{at}/{MANIFEST}")
    if known is not None and known != (folder / MANIFEST).read_bytes():
        hint = "remove that set first, or choose another place"
        raise DataError("another set of this name lies there", where=at, hint=hint)
    if isinstance(store, LocalFileSystem):  # object stores have no folders
        tried(lambda: store.makedirs(there, exist_ok=True), at)
    origin = origin_of(folder, shards_of(manifest))
    for entry in (*manifest.shards, manifest.index):
        target = f"{there}/{entry.name}"
        if _size(store, target, f"{at}/{entry.name}") == entry.bytes:
            continue
        file = folder / entry.name
        if origin is not None and entry.name != INDEX and origin.local(entry.name) is None:
            hint = "pull it without a limit first"
            raise DataError("this set is not here as a whole", where=str(folder), hint=hint)
        tried(partial(store.put_file, str(file), target), f"{at}/{entry.name}")
        copied += entry.bytes
    if known is None:
        tried(lambda: store.put_file(str(folder / MANIFEST), f"{there}/{MANIFEST}"), f"{at}/{MANIFEST}")
    return copied


def pull(url: str, data: Path, *, limit: int | None = None) -> list[Path]:
    """Makes the sets below a URL (of one set, or of one of its splits) known here. Gives their folders.

    Their manifests and indices are copied; shards come as they are read, `limit` bytes of a split's at most. A set of
    degraded images brings along the one that has its clean images. A set that is here already keeps its shards.
    Raises DataError when nothing is there, or a set of another content is here.
    """
    store, root = store_of(url)
    found, places = [], [root]
    for _ in range(3):  # a split, a set, a folder of sets
        found = [path for path in places if _size(store, f"{path}/{MANIFEST}", url) is not None]
        if found:
            break
        places = [path for place in places for path in _folders(store, place, url)]
    if not found:
        raise DataError("no prepared set lies there", where=url, hint="bench data push SET --to URL puts one there")
    root, url = root.rstrip("/"), url.rstrip("/")
    pulled: dict[Path, None] = {}
    for path in found:
        for folder in _pulled(store, path, f"{url}{path.removeprefix(root)}", data, limit):
            pulled[folder] = None
    return list(pulled)


def _pulled(store: fsspec.AbstractFileSystem, path: str, url: str, data: Path, limit: int | None) -> list[Path]:
    """The folders of a split and of the one that has its clean images."""
    content = tried(lambda: bytes(store.cat_file(f"{path}/{MANIFEST}")), f"{url}/{MANIFEST}")
    manifest = read_manifest(content, f"{url}/{MANIFEST}")
    for name in (manifest.set.name, manifest.set.split):
        if unfit := unfit_name(name):
            raise DataError(f"it names the set {name!r}: {unfit}", where=f"{url}/{MANIFEST}", hint="another set")
    source, before = manifest.set.source, []
    if source is not None:
        beside, above = f"{source.name}/{source.split}", url.rsplit("/", 2)[0]
        before = _pulled(store, f"{path.rsplit('/', 2)[0]}/{beside}", f"{above}/{beside}", data, limit)
    folder, note = manifest.set.folder(data), OriginNote(url=url, limit=limit)
    with held(folder):
        if folder.is_dir():
            if (folder / MANIFEST).read_bytes() != content:
                hint = "remove the folder, or pull into another data folder"
                raise DataError("this set is here already, with another content", where=str(folder), hint=hint)
            if (folder / ORIGIN).exists() or not all((folder / shard.name).exists() for shard in manifest.shards):
                write_note(folder, note)
            return [*before, folder]
        with atomic_folder(folder) as made:
            (made / MANIFEST).write_bytes(content)
            (made / INDEX).write_bytes(tried(lambda: bytes(store.cat_file(f"{path}/{INDEX}")), f"{url}/{INDEX}"))
            write_note(made, note)
    return [*before, folder]


def fetch_all(folder: Path) -> int:
    """Fetches all the shards of a pulled split that are to be kept here. Gives how many lie here then."""
    manifest = read_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    origin = origin_of(folder, shards_of(manifest))
    if origin is None:
        return len(manifest.shards)
    return sum(origin.local(shard.name) is not None for shard in manifest.shards)


def is_pulled(folder: Path) -> bool:
    """Whether the shards of a split's folder come from another store."""
    return read_note(folder) is not None


def read_manifest(content: bytes, where: str) -> Manifest:
    """A manifest from its file. Raises DataError for one that is damaged, or of another release."""
    try:
        return Manifest.model_validate(unsealed(content).content)
    except ValueError as error:
        what = f"the manifest cannot be read ({str(error).splitlines()[0]})"
        raise DataError(what, where=where, hint="prepare the set again") from error


def shards_of(manifest: Manifest) -> list[Shard]:
    """The shards of a manifest, as where they come from needs them."""
    return [Shard(entry.name, entry.sha256, entry.bytes) for entry in manifest.shards]


def _folders(store: fsspec.AbstractFileSystem, root: str, url: str) -> list[str]:
    try:
        listed = tried(lambda: store.ls(root, detail=False), url)
    except DataError:
        return []
    return sorted(str(path).rstrip("/") for path in listed)


def _content(store: fsspec.AbstractFileSystem, path: str, url: str) -> bytes | None:
    return None if _size(store, path, url) is None else tried(lambda: bytes(store.cat_file(path)), url)


def _size(store: fsspec.AbstractFileSystem, path: str, url: str) -> int | None:
    """Bytes of a file on a store; None when it is not there."""
    try:
        return int(tried(lambda: store.size(path), url))
    except DataError:
        return None
