"""What a run's folders hold, read once: manifests are parsed, records checked, no tensor is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.planning.graph import JobGraph, JobNode
from harness.planning.job import FeaturesWork, ShardsWork
from harness.planning.verdict import Reason, Why
from harness.records import store
from harness.records.migrate import NewerSchema
from harness.records.model import RunRecord


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
        """Whether a newer release wrote the record, so that it must stay as it is."""
        return self.trouble is not None and self.trouble.kind is Why.NEWER_RELEASE

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


def read_kept(layout: Layout, cell_id: str) -> Kept:
    """What a cell left in its folder."""
    begun = layout.checkpoints(cell_id).is_dir()
    trained = begun and layout.final_weights(cell_id).is_file()
    try:
        return Kept(store.load(layout, cell_id), None, begun, trained)
    except NewerSchema as error:
        return Kept(None, Reason(Why.NEWER_RELEASE, str(error)), begun, trained)
    except DataError as error:
        return Kept(None, Reason(Why.DAMAGED, error.what), begun, trained)


@dataclass(frozen=True)
class SetManifest:
    """The manifest of a prepared or feature set."""

    name: str
    """The set's folder, relative to the data folder: the name of a prepared set in records."""
    exists: bool
    """Whether the folder is there, with a manifest or without."""
    sha256: str | None = None
    """Digest of the file, which everything that is made from the set keeps; None when there is no file."""
    content: Any = None
    """As parsed; None when it is not JSON."""


def read_manifest(folder: Path, data: Path) -> SetManifest:
    """The manifest of a set's folder, which lies below the data folder."""
    name = folder.relative_to(data).as_posix()
    try:
        text = (folder / "manifest.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return SetManifest(name, folder.is_dir())
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    return SetManifest(name, True, hashlib.sha256(text).hexdigest(), content)


@dataclass(frozen=True)
class Disk:
    """The results and sets of a graph's jobs that are on disk."""

    layout: Layout
    kept: Mapping[str, Kept]
    """By cell id."""
    manifests: Mapping[str, SetManifest]
    """By id of the job that makes the set."""

    def kept_by(self, node: JobNode) -> Kept:
        """What the cell of a train or evaluate job left."""
        assert node.cell_id is not None, node.id
        return self.kept[node.cell_id]


def read_disk(graph: JobGraph, layout: Layout) -> Disk:
    """Reads every file once, however many cells depend on it."""
    cells = dict.fromkeys([*(jobs.id for jobs in graph.cells), *graph.trains])
    folders = {job: folder for job, node in graph.nodes.items() if (folder := _folder(node, layout.data)) is not None}
    return Disk(
        layout,
        kept={cell_id: read_kept(layout, cell_id) for cell_id in cells},
        manifests={job: read_manifest(folder, layout.data) for job, folder in folders.items()},
    )


def _folder(node: JobNode, data: Path) -> Path | None:
    """Where a shards or features job leaves its set."""
    if isinstance(node.work, ShardsWork):
        return node.work.samples.folder(data)
    return node.work.features.folder(data) if isinstance(node.work, FeaturesWork) else None
