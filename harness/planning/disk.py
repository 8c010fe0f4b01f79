"""What a run's folders hold, read once: manifests are parsed, records checked, no tensor is opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api.sets import ORIGIN, SETS
from harness.api.shard_parts import NOTE, waiting_shard
from harness.core.damage import is_damage, noted_damage
from harness.core.errors import DataError
from harness.core.identity import json_text, unsealed
from harness.core.names import unfit_name
from harness.core.paths import CHECKPOINTS, FINAL_WEIGHTS, Layout, unread
from harness.planning.job import FeaturesWork, ShardsWork
from harness.planning.nodes import JobGraph, JobNode
from harness.planning.verdict import Reason, Why
from harness.records import store
from harness.records.job_failures import read_failure
from harness.records.migrate import NewerSchema, Untouchable
from harness.records.model import RunRecord
from harness.storage.mirror import elsewhere


@dataclass(frozen=True)
class Kept:
    """What a cell left behind."""

    record: RunRecord | None = None
    trouble: Reason | None = None
    """Why the record that is there cannot be used."""
    begun: bool = False
    """Whether training has left checkpoints of any step."""
    trained: bool = False
    """Whether the checkpoint of the finished training is there."""

    @property
    def newer(self) -> bool:
        """Whether the record must stay as it is: a newer release wrote it, or it cannot be read now."""
        return self.trouble is not None and self.trouble.kind in (Why.NEWER_RELEASE, Why.UNREADABLE)

    @property
    def damaged(self) -> bool:
        return self.trouble is not None and self.trouble.kind is Why.DAMAGED

    @property
    def failure(self) -> Reason | None:
        """Why the last attempt failed, None when it did not. Interrupted is not failed."""
        failure = self.record.failure if self.record else None
        if failure is None or failure.kind == "interrupted":
            return None
        return Reason(Why.FAILED, failure.kind, failure.message)

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the weights that the cell's training left, by its record."""
        return self.record.training.checkpoint_sha256 if self.record and self.record.training else None


def read_kept(layout: Layout, cell_id: str) -> Kept:
    """What a cell left in its folder. What is wrong with it is this cell's trouble alone."""
    begun = trained = False
    try:
        folder = layout.cell(cell_id)
        checkpoints = folder / CHECKPOINTS
        begun = checkpoints.is_dir()
        trained = begun and _is_there(checkpoints / FINAL_WEIGHTS)
        record = store.load_from(folder, cell_id)
        if record is None or record.training is None:
            return Kept(record, _misplaced(layout, cell_id), begun, trained)
        return Kept(record, None, begun, trained)
    except NewerSchema as error:
        return Kept(None, Reason(Why.NEWER_RELEASE, str(error)), begun, trained)
    except Untouchable as error:
        return Kept(None, Reason(Why.UNREADABLE, str(error)), begun, trained)
    except DataError as error:
        return Kept(None, Reason(Why.DAMAGED, f"{_told(layout.record(cell_id), layout)}: {error.what}"), begun, trained)
    except OSError as error:
        told = _told(layout.cell(cell_id), layout)
        return Kept(None, Reason(Why.UNREADABLE, f"{told} cannot be read: {unread(error)}"))


def _is_there(weights: Path) -> bool:
    """Whether weights are here, or on the store that the folder of results is a copy of."""
    return weights.is_file() or elsewhere(weights) is not None


def _misplaced(layout: Layout, cell_id: str) -> Reason | None:
    """Whether something else lies where a training would make a folder."""
    for path in (layout.cell(cell_id), layout.checkpoints(cell_id)):
        if os.path.lexists(path) and not path.is_dir():
            return Reason(Why.DAMAGED, f"{_told(path, layout)} is not a folder")
    return None


def _told(path: Path, layout: Layout) -> str:
    """A path as tables say it: without the folder of results."""
    return path.relative_to(layout.out).as_posix()


@dataclass(frozen=True)
class SetManifest:
    """The manifest of a prepared or feature set."""

    name: str
    """The set's folder, relative to the data folder."""
    exists: bool
    """Whether the folder is there, with a manifest or without."""
    sha256: str | None = None
    """Its digest (harness.core.identity.Unsealed), which everything that is made from the set keeps; None when there
    is no sound one."""
    content: Mapping[str, Any] | None = None
    """Without the seal; None when there is no sound one."""
    damage: Reason | None = None
    """Which file of the set is damaged, and how: the manifest, or another as far as it shows without reading it."""
    unreadable: bool = False
    """Whether the `damage` is that the manifest cannot be read, now or by this user, which says nothing about it."""

    @property
    def record_name(self) -> str:
        """The name of a prepared set in records: `<name>/<split>`."""
        return self.name.removeprefix(f"{SETS}/")

    def is_one_of(self, used: str) -> bool:
        """Whether a record that names this digest means the set as it is, or as earlier releases described it."""
        return used == self.sha256 or used == self._as_before

    @property
    def _as_before(self) -> str | None:
        """Its digest without the parents, which earlier releases did not name."""
        if self.content is None or "parents" not in self.content:
            return None
        before = {name: value for name, value in self.content.items() if name != "parents"}
        return hashlib.sha256(json_text(before).encode()).hexdigest()


def read_manifest(folder: Path, data: Path) -> SetManifest:
    """The manifest of a set's folder, which lies below the data folder."""
    name = folder.relative_to(data).as_posix()
    try:
        found = unsealed((folder / "manifest.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return SetManifest(name, folder.is_dir())
    except OSError as error:
        damage = Reason(Why.SET_DAMAGED, f"{folder.name}/manifest.json", f"cannot be read: {unread(error)}")
        return SetManifest(name, True, damage=damage, unreadable=not is_damage(error))
    except ValueError:
        return SetManifest(name, True, damage=Reason(Why.MANIFEST_DAMAGED, folder.name))
    return SetManifest(name, True, found.sha256, found.content, _damage(folder, found.content))


def _damage(folder: Path, manifest: Mapping[str, Any]) -> Reason | None:
    """The damage that a job noted in a set's folder, or that the sizes of its files show."""
    if noted := noted_damage(folder):
        file, _, how = noted.partition(": ")
        return Reason(Why.SET_DAMAGED, f"{folder.name}/{file}", how)
    for entry in _files(manifest):
        name, size = str(entry.get("name") or entry.get("file")), entry.get("bytes")
        if unfit := unfit_name(name):
            return Reason(Why.SET_DAMAGED, f"{folder.name}/manifest.json", f"it names a file {name!r}: {unfit}")
        path = folder / name
        try:
            found = path.stat().st_size
        except OSError as error:
            if not is_damage(error) or (not os.path.lexists(path) and _comes(path)):
                continue  # the job that reads it will say so, or fetch it
            return Reason(Why.SET_DAMAGED, f"{folder.name}/{path.name}", unread(error))
        if size not in (None, found):
            return Reason(Why.SET_DAMAGED, f"{folder.name}/{path.name}", f"{found} bytes instead of {size}")
    return None


def _comes(path: Path) -> bool:
    """Whether a file of a set that is not here comes from another store when it is read."""
    return (path.parent / ORIGIN).exists() or elsewhere(path) is not None


def _files(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a manifest says of each file of its set."""
    shards = manifest.get("shards")
    for entry in (manifest.get("index"), *(shards if isinstance(shards, list) else ())):
        if isinstance(entry, Mapping):
            yield entry


@dataclass(frozen=True)
class Disk:
    """The results and sets of a graph's jobs that are on disk."""

    layout: Layout
    kept: Mapping[str, Kept]
    """By cell id."""
    manifests: Mapping[str, SetManifest]
    """By id of the job that makes the set."""
    finished: Collection[str]
    """Ids of the jobs of parts whose shards are all there, and wait for the others of their set."""
    failures: Mapping[str, Reason]
    """Why the last attempt at a set failed, by id of the job that makes it."""

    def kept_by(self, node: JobNode) -> Kept:
        """What the cell of a train or evaluate job left."""
        assert node.cell_id is not None, node.id
        return self.kept[node.cell_id]


def read_disk(graph: JobGraph, layout: Layout) -> Disk:
    """Reads every file once, however many cells depend on it."""
    cells = dict.fromkeys([*(jobs.id for jobs in graph.cells), *graph.trains])
    parts = {job: node for job, node in graph.nodes.items() if node.shards}
    folders = {job: folder for job, node in graph.nodes.items() if (folder := _folder(node, layout.data)) is not None}
    return Disk(
        layout,
        kept={cell_id: read_kept(layout, cell_id) for cell_id in cells},
        manifests={job: read_manifest(folder, layout.data) for job, folder in folders.items()},
        finished={job for job, node in parts.items() if _waits(node, layout.data)},
        failures=_failures([*folders, *parts], layout),
    )


def _failures(jobs: Iterable[str], layout: Layout) -> dict[str, Reason]:
    """What is remembered of the failures of shards and features jobs."""
    found = {job: failure for job in jobs if (failure := read_failure(layout, job)) is not None}
    return {job: Reason(Why.FAILED, failure.kind, failure.message) for job, failure in found.items()}


def _folder(node: JobNode, data: Path) -> Path | None:
    """Where a shards or features job leaves its set; None for those that leave none."""
    if isinstance(node.work, ShardsWork):
        return node.work.stored.folder(data) if node.work.part is None else None
    return node.work.features.folder(data) if isinstance(node.work, FeaturesWork) else None


def _waits(node: JobNode, data: Path) -> bool:
    """Whether the notes of all the shards of a part are there. The job that makes the set of them reads the shards."""
    assert isinstance(node.work, ShardsWork)
    stored = node.work.stored
    return all((waiting_shard(stored, data, shard) / NOTE).is_file() for shard in node.shards)
