"""What is done already, read cheaply: manifests are parsed, records and their digests checked, no tensor is opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.api.sets import FeatureSet, PreparedSet
from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.planning.needs import Needs, one_line
from harness.records import store
from harness.records.migrate import NewerSchema
from harness.records.model import RunRecord
from harness.records.state import JobState
from harness.spec.cell import Cell, evaluation_id


@dataclass(frozen=True)
class Verdict:
    """The state of a job and, unless it is plainly done or to do, why."""

    state: JobState
    reason: str = ""

    @property
    def runs(self) -> bool:
        """Whether the job is to be run."""
        return self.state in ("todo", "stale")


DONE = Verdict("done")


@dataclass(frozen=True)
class Kept:
    """What a cell left behind: its record, or why there is none to be trusted."""

    record: RunRecord | None = None
    damage: str = ""
    newer: str = ""

    @property
    def failure(self) -> str:
        """Why the last attempt failed, empty when it did not. Interrupted is not failed."""
        failure = self.record.failure if self.record else None
        return f"failed before ({failure.kind}): {failure.message}" if failure and failure.kind != "interrupted" else ""

    @property
    def interrupted(self) -> bool:
        failure = self.record.failure if self.record else None
        return failure is not None and failure.kind == "interrupted"


@dataclass
class Disk:
    """Looks at one run's folders; every file once, however many cells depend on it."""

    layout: Layout
    needs: Needs
    _kept: dict[str, Kept] = field(default_factory=dict)
    _sets: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def kept(self, cell_id: str) -> Kept:
        """A cell's record."""
        if cell_id not in self._kept:
            try:
                self._kept[cell_id] = Kept(store.load(self.layout, cell_id))
            except NewerSchema as error:
                self._kept[cell_id] = Kept(newer=str(error))
            except DataError as error:
                self._kept[cell_id] = Kept(damage=error.what)
        return self._kept[cell_id]

    def has_checkpoint(self, cell_id: str) -> bool:
        return self.layout.final_weights(cell_id).is_file()

    # --- shards and features ------------------------------------------------------------------------------------

    def shards(self, samples: PreparedSet) -> Verdict:
        """Whether a prepared set is there, by its manifest."""
        return _described(samples.folder(self.layout.data), "set", samples)

    def features(self, features: FeatureSet) -> Verdict:
        """Whether a feature set is there, by its manifest, and made of the samples as they are now."""
        verdict = _described(features.folder(self.layout.data), "features", features)
        _, samples = self._prepared(features.samples)
        if verdict.state == "done" and samples is not None:
            manifest = _read_manifest(features.folder(self.layout.data))
            if isinstance(manifest, dict) and manifest.get("samples_manifest_sha256") != samples:
                return Verdict("stale", "its samples have been prepared anew since")
        return verdict

    def _prepared(self, samples: PreparedSet) -> tuple[str, str | None]:
        """What records call a set, and the digest of its manifest as it is now."""
        key = samples.model_dump_json()
        if key not in self._sets:
            folder = samples.folder(self.layout.data)
            path = folder / "manifest.json"
            name = folder.relative_to(self.layout.data).as_posix()
            self._sets[key] = (name, file_sha256(path) if path.is_file() else None)
        return self._sets[key]

    def _changed(self, record: RunRecord, samples: PreparedSet) -> bool:
        """Whether a set is there and is not the one that the record was made from."""
        name, now = self._prepared(samples)
        used = record.provenance.data.get(name)
        return used is not None and now is not None and used != now

    # --- training and evaluation --------------------------------------------------------------------------------

    def train(self, cell: Cell, cell_id: str) -> Verdict:
        """Whether a cell is trained, by its record. Its checkpoint is looked for only when something needs it."""
        kept = self.kept(cell_id)
        if kept.newer:
            return Verdict("blocked", kept.newer)
        if kept.damage:
            return Verdict("stale", kept.damage)
        record = kept.record
        if record is None or record.training is None:
            return Verdict("todo", kept.failure or self._half_way(cell_id))
        if any(self._changed(record, samples) for samples in cell.train_sets):
            return Verdict("stale", "its training images have been prepared anew and differ from those it saw")
        return DONE

    def _half_way(self, cell_id: str) -> str:
        return "interrupted: goes on from its checkpoint" if self.layout.checkpoints(cell_id).is_dir() else ""

    def evaluate(self, cell: Cell, cell_id: str, tests: Sequence[PreparedSet], metrics: Sequence[str]) -> Verdict:
        """Whether all the metrics of all the test sets are on record and the per-image table is sound."""
        kept = self.kept(cell_id)
        if kept.newer:
            return Verdict("blocked", kept.newer)
        if kept.damage:
            return Verdict("stale", kept.damage)
        record = kept.record
        if record is None:
            return Verdict("todo")
        lacking = self.lacking(record, cell, tests, metrics)
        if not lacking:
            try:
                store.read_images(self.layout, record)
            except DataError as error:
                return Verdict("stale", one_line(error))
        changed = self.changed_tests(record, tests)
        if changed:
            return Verdict("stale", changed)
        if not lacking:
            return DONE
        failure = kept.failure if record.training is not None or cell.backbone is None else ""
        before = f"evaluated before, not yet: {', '.join(lacking)}" if record.evaluations else ""
        return Verdict("todo", failure or before)

    def changed_tests(self, record: RunRecord, tests: Sequence[PreparedSet]) -> str:
        """Which test sets are not those that the record's evaluations saw; empty when all are."""
        changed = [samples.dataset.name for samples in tests if self._changed(record, samples)]
        return f"test images prepared anew since: {', '.join(changed)}" if changed and record.evaluations else ""

    def lacking(self, record: RunRecord, cell: Cell, tests: Sequence[PreparedSet], metrics: Sequence[str]) -> list[str]:
        """The test sets, or the metrics of one, that are not on record."""
        return [what for samples in tests if (what := self._lacking(record, cell, samples, metrics))]

    def _lacking(self, record: RunRecord, cell: Cell, samples: PreparedSet, metrics: Sequence[str]) -> str:
        """What is not on record of one test set; empty when all is."""
        wanted = evaluation_id(cell, samples, self.needs.protocol(cell.task))
        for evaluation in record.evaluations:
            if evaluation.id == wanted:
                return ", ".join(
                    f"{name} of {samples.dataset.name}"
                    for name in metrics
                    if evaluation.metrics.get(name) != self.needs.metric_version(name)
                )
        return samples.dataset.name


def _read_manifest(folder: Path) -> Any:
    """A folder's manifest as parsed, None when there is none. Raises ValueError when it is no JSON."""
    try:
        return json.loads((folder / "manifest.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _described(folder: Path, name: str, content: PreparedSet | FeatureSet) -> Verdict:
    """Whether a folder's manifest says that it holds that content."""
    try:
        manifest = _read_manifest(folder)
    except ValueError:
        return Verdict("stale", f"{folder.name}/manifest.json is damaged")
    if manifest is None:
        return Verdict("stale", "its manifest is missing") if folder.is_dir() else Verdict("todo")
    if not isinstance(manifest, dict) or manifest.get(name) != content.identity():
        return Verdict("stale", f"{folder.name}/manifest.json describes something else")
    return DONE
