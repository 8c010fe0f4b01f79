"""Prepared sets and prior vectors of a data folder that is the working copy of a store's (harness.storage.copies).

Prepared sets lie on the store as `bench data push` puts them, at `<data>/sets/<set>/<split>`: other machines read their
shards as they need them (harness.data.origin). Prior vectors, and shards that wait for their set, are units. In plain
folders nothing happens.
"""

from __future__ import annotations

import logging
from pathlib import Path

from harness.api.sets import SETS, FeatureSet, PreparedSet
from harness.api.shard_parts import NOTE as SHARD_NOTE
from harness.api.shard_parts import waiting_folder
from harness.core.damage import NOTE as DAMAGE_NOTE
from harness.core.errors import DataError
from harness.core.paths import remove_away
from harness.data.exchange import is_pulled, pull, push
from harness.data.manifest import MANIFEST
from harness.storage.copies import Copy, copy_at, held_here, url_of
from harness.storage.mirror import everything, fetch, fetch_all, unchanged
from harness.storage.plain import bring_files, send_new
from harness.storage.sending import forget, publish
from harness.storage.state import POINTERS, read_known
from harness.storage.store import Store

log = logging.getLogger(__name__)

PRINTS = "prints"
"""The folder of what tells pictures apart (harness.data.prints), which is small and saves the reading of all images."""
PATIENCE = 600.0
"""Seconds that a job waits for another one of its machine that fetches the same."""


def bring_set(stored: PreparedSet, data: Path) -> None:
    """Makes a prepared set that the store has known here, and that of its clean images; its shards come as they are
    read. One that is here with another content is replaced. Raises as harness.storage.reach.tried."""
    url, folder = url_of(data), stored.folder(data)
    if url is None:
        return
    if stored.source is not None:
        bring_set(stored.source, data)
    there = Store(url).read(f"{_place(stored)}/{MANIFEST}")
    if there is None:
        return
    try:
        if (folder / MANIFEST).read_bytes() == there:
            return
    except OSError:
        pass
    remove_away(folder)
    pull(f"{url}/{_place(stored)}", data)


def _place(stored: PreparedSet) -> str:
    return f"{SETS}/{stored.name}/{stored.split}"


def send_set(stored: PreparedSet, data: Path) -> None:
    """Puts a prepared set that is here on the store, in the place of another one of its name. Raises as `push`."""
    url, folder = url_of(data), stored.folder(data)
    if url is None or not (folder / MANIFEST).is_file():
        return
    store, manifest = Store(url), f"{_place(stored)}/{MANIFEST}"
    there = store.read(manifest)
    if there is not None and there != (folder / MANIFEST).read_bytes():
        store.remove([manifest])
        there = None
    if there is None or not is_pulled(folder):
        push(folder, f"{url}/{SETS}")
    copy = _copy(data)
    for unit in _units(copy, copy.unit(waiting_folder(stored, data))):
        forget(copy, unit)


def bring_parts(stored: PreparedSet, data: Path) -> None:
    """Brings the finished shards of a set that is not whole yet. Raises as harness.storage.mirror.fetch."""
    if copy_at(data) is not None:
        copy = _copy(data)
        fetch_all(copy, copy.unit(waiting_folder(stored, data)), everything)


def send_parts(stored: PreparedSet, data: Path) -> None:
    """Puts the finished shards of a set on the store. Raises as harness.storage.sending.publish."""
    folder = waiting_folder(stored, data)
    if copy_at(data) is None or not folder.is_dir():
        return
    copy = _copy(data)
    for shard in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."):
        if not unchanged(copy, copy.unit(shard)):
            publish(copy, copy.unit(shard))


def bring_features(features: FeatureSet, data: Path) -> None:
    """Brings the vectors of a feature set that the store has. One that is noted as damaged here is fetched anew.

    Raises as harness.storage.mirror.fetch.
    """
    folder = features.folder(data)
    if copy_at(data) is None:
        return
    copy, unit = _copy(data), _copy(data).unit(folder)
    with held_here(copy, unit, PATIENCE):
        noted = folder / DAMAGE_NOTE
        if noted.is_file() and DAMAGE_NOTE not in read_known(copy, unit).files:
            remove_away(folder)
        fetch(copy, unit)


def send_features(features: FeatureSet, data: Path) -> None:
    """Puts a feature set on the store as it is here. Raises as harness.storage.sending.publish."""
    folder = features.folder(data)
    if copy_at(data) is None or not folder.is_dir():
        return
    copy, unit = _copy(data), _copy(data).unit(folder)
    if not unchanged(copy, unit):
        publish(copy, unit)


def bring_prints(data: Path) -> None:
    bring_files(data / PRINTS, _is_print, only_new=True)


def send_prints(data: Path) -> None:
    send_new(data / PRINTS)


def _is_print(name: str) -> bool:
    return not name.rpartition("/")[2].startswith(".")


def bring_known(data: Path) -> None:
    """Makes known here what the store has: which sets, vectors and finished shards there are, without their content.

    A set that was made here and that the store lacks, because of a kill, stays. Raises as harness.storage.reach.tried.
    """
    copy, url = copy_at(data), url_of(data)
    if copy is None or url is None:
        return
    prefix = _prefix(copy, data)
    for name in copy.store.folders(f"{prefix}{SETS}"):
        for split in copy.store.folders(f"{prefix}{SETS}/{name}"):
            _bring_known_set(copy, f"{prefix}{SETS}/{name}/{split}", data)
    fetch_all(copy, f"{prefix}features", _describes)
    for unit in sorted({each.rpartition("/")[0] for each in _units(copy, f"{prefix}{SETS}")}):
        fetch_all(copy, unit, _describes)


def _bring_known_set(copy: Copy, place: str, data: Path) -> None:
    there = copy.store.read(f"{place}/{MANIFEST}")
    if there is None:
        return
    folder = copy.files / place
    try:
        if (folder / MANIFEST).read_bytes() == there:
            return
    except OSError:
        pass
    try:
        remove_away(folder)
        pull(f"{copy.url}/{place}", data)
    except DataError as error:
        log.warning("%s", error)


def _describes(name: str) -> bool:
    return name in (MANIFEST, SHARD_NOTE, DAMAGE_NOTE)


def send_known(data: Path) -> None:
    """Puts on the store what was made here and did not get there, because of a kill. To be called while no job runs."""
    copy = copy_at(data)
    if copy is None:
        return
    for path in sorted((data / SETS).glob(f"[!.]*/[!.]*/{MANIFEST}")):
        if copy.store.read(f"{copy.unit(path.parent)}/{MANIFEST}") is None:
            try:
                push(path.parent, f"{url_of(data)}/{SETS}")
            except DataError as error:
                log.warning("%s", error)
    shards, vectors = f"{SETS}/[!.]*/.*.parts/[!.]*/{SHARD_NOTE}", f"features/[!.]*/[!.]*/[!.]*/{MANIFEST}"
    for path in sorted([*data.glob(shards), *data.glob(vectors)]):
        unit = copy.unit(path.parent)
        if not copy.state_file(unit).is_file():
            publish(copy, unit)


def _copy(data: Path) -> Copy:
    copy = copy_at(data)
    assert copy is not None, data
    return copy


def _prefix(copy: Copy, data: Path) -> str:
    unit = copy.unit(data)
    return "" if unit == "." else f"{unit}/"


def _units(copy: Copy, prefix: str) -> list[str]:
    """The units below a folder that the store has."""
    found = copy.store.find(f"{POINTERS}/{prefix}")
    return sorted(key.removeprefix(f"{POINTERS}/").removesuffix(".json") for key in found)
